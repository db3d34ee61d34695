import GGUF
import Tensors

/// What stops a forward pass: a model it cannot run, text it cannot use, or numbers that ceased to be numbers.
public enum ForwardError: Error, Sendable, Equatable {
  /// `general.architecture` names one that is not in the registry.
  case unknownArchitecture(String, known: [String])
  /// A metadata key is missing or holds a value of another kind or range.
  case missingKey(String)
  case invalidKey(String, reason: String)
  /// A key says of the model what the forward pass does not compute.
  case unsupportedValue(key: String, value: String, reason: String)
  /// Attention sees fewer positions back than a window of text has.
  case beyondSlidingWindow(key: String, positions: Int, length: Int)
  case missingTensor(String)
  case wrongShape(tensor: String, found: String, expected: String)
  /// A tensor of integers in the place of weights.
  case integers(tensor: String, type: GGMLType)
  /// Windows have to be of one length, and not empty.
  case unequalWindows(index: Int, count: Int, expected: Int)
  case noWindows
  /// A token id outside the vocabulary.
  case unknownToken(Int32, window: Int, position: Int, vocabulary: Int)
  /// NaN or infinity came out of the product with this tensor. Where the window is not known, `position` is the row of
  /// the product.
  case nonFinite(tensor: String, window: Int? = nil, position: Int? = nil)
  /// The memory budget is too small for one window.
  case budgetTooSmall(bytes: Int, least: Int)
}

extension ForwardError: CustomStringConvertible {
  /// One line that names the key, tensor or window.
  public var description: String {
    switch self {
    case .unknownArchitecture(let name, let known):
      "architecture '\(name)' is not supported; known: \(known.joined(separator: ", "))"
    case .missingKey(let key): "metadata key '\(key)' is missing"
    case .invalidKey(let key, let reason): "metadata key '\(key)' \(reason)"
    case .unsupportedValue(let key, let value, let reason): "metadata key '\(key)' is \(value), \(reason)"
    case .beyondSlidingWindow(let key, let positions, let length):
      "metadata key '\(key)' is \(positions): attention sees so many positions back, and windows of the text have "
        + "\(length)"
    case .missingTensor(let name): "tensor '\(name)' is missing"
    case .wrongShape(let tensor, let found, let expected): "tensor '\(tensor)' is \(found), expected \(expected)"
    case .integers(let tensor, let type): "tensor '\(tensor)' holds integers (\(type)), where weights are wanted"
    case .unequalWindows(let index, let count, let expected):
      "window \(index) has \(count) tokens, the first one \(expected)"
    case .noWindows: "there is no window of text to run"
    case .unknownToken(let id, let window, let position, let vocabulary):
      "token \(id) at position \(position) of window \(window) is outside the vocabulary of \(vocabulary)"
    case .nonFinite(let tensor, let window?, let position?):
      "NaN or infinity in the activations at '\(tensor)'\(Self.layer(of: tensor)), at position \(position) of window "
        + "\(window)"
    case .nonFinite(let tensor, _, _): "NaN or infinity in the activations at '\(tensor)'\(Self.layer(of: tensor))"
    case .budgetTooSmall(let bytes, let least):
      "\(bytes) bytes of memory are too few: at least \(least) are needed"
    }
  }

  private static func layer(of tensor: String) -> String {
    TensorName(tensor).layer.map { ", in layer \($0)" } ?? ""
  }
}
