/// A text that can't be scored, or scores that can't be compared.
public enum ScoringError: Error, Equatable, Sendable {
  /// The context must have at least 4 tokens; the stride must be at least 1 and below the context.
  case badWindow(context: Int, stride: Int?)
  /// The text has fewer tokens than one window.
  case textTooShort(name: String, tokens: Int, needed: Int)
  /// A token id is outside the vocabulary.
  case unknownToken(id: Int32, vocabulary: Int)
  /// A model computed NaN or infinity, at a position of a window, both counted from 0. `tensor` is the matrix whose
  /// product was not finite, if known.
  case nonFiniteLogits(model: String, window: Int, position: Int, tensor: String? = nil)
  /// Two vocabularies have different sizes.
  case vocabulariesDiffer(base: String, baseCount: Int, model: String, count: Int)
  /// Two vocabularies of equal size differ, first in the token `id`.
  case tokensDiffer(base: String, model: String, id: Int, baseToken: String, token: String)
  /// A model has another number of scored positions than the windows.
  case positionsDiffer(model: String, count: Int, expected: Int)
}

extension ScoringError: CustomStringConvertible {
  /// One line that names the model, window or token.
  public var description: String {
    switch self {
    case .badWindow(let context, let stride?):
      "a stride of \(stride) in a context of \(context) tokens: it must be from 1 to \(max(1, context - 1))"
    case .badWindow(let context, nil): "a context of \(context) tokens is too small: at least 4"
    case .textTooShort(let name, let tokens, let needed):
      "\(name): \(tokens) tokens, \(needed - tokens) fewer than the \(needed) of one window"
    case .unknownToken(let id, let vocabulary): "token \(id) is outside the vocabulary of \(vocabulary)"
    case .nonFiniteLogits(let model, let window, let position, let tensor?):
      "\(model): logits at position \(position) of window \(window) are not finite: "
        + "NaN or infinity in the product with '\(tensor)'"
    case .nonFiniteLogits(let model, let window, let position, nil):
      "\(model): logits at position \(position) of window \(window) are not finite"
    case .vocabulariesDiffer(let base, let baseCount, let model, let count):
      "vocabularies differ: \(base) has \(baseCount) tokens, \(model) has \(count)"
    case .tokensDiffer(let base, let model, let id, let baseToken, let token):
      "vocabularies differ: token \(id) is '\(baseToken)' in \(base), '\(token)' in \(model)"
    case .positionsDiffer(let model, let count, let expected):
      "\(model): \(count) scored positions where the text has \(expected)"
    }
  }
}
