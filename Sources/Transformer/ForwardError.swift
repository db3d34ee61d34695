import GGUF
import Tensors

/// An error of a forward pass: an unsupported model, unusable text, or a result that is not finite.
public enum ForwardError: Error, Sendable, Equatable {
  /// `general.architecture` has a value that is not in the registry.
  case unknownArchitecture(String, supported: [String])
  /// A required metadata key is missing.
  case missingKey(String)
  /// The value of a metadata key has the wrong type or is out of range.
  case invalidKey(String, reason: String)
  /// A key requires a computation that the forward pass does not have.
  case unsupportedValue(key: String, value: String, reason: String)
  /// A tensor has factors of a matrix that the forward pass does not apply.
  case unsupportedFactor(tensor: String)
  /// A tensor requires a computation that the forward pass does not have.
  case unsupportedTensor(String, reason: String)
  /// A window of text is longer than the model's sliding attention window.
  case beyondSlidingWindow(key: String, positions: Int, length: Int)
  /// A required tensor is missing.
  case missingTensor(String)
  /// A tensor's shape does not match the metadata.
  case wrongShape(tensor: String, found: String, expected: String)
  /// A weight tensor has an integer type.
  case integers(tensor: String, type: GGMLType)
  /// A window of text has another length than the first.
  case unequalWindows(index: Int, count: Int, expected: Int)
  /// There is no window, or windows are empty.
  case noWindows
  /// A token id is outside of the vocabulary.
  case unknownToken(Int32, window: Int, position: Int, vocabulary: Int)
  /// The product with a tensor has an infinite or NaN result, or the tensor has such an element. Without a window,
  /// `position` is the row of the product.
  case nonFinite(tensor: String, window: Int? = nil, position: Int? = nil)
  /// The memory budget is too small for one window; the second number is the smallest sufficient budget.
  case budgetTooSmall(bytes: Int, minimum: Int)
}

extension ForwardError: CustomStringConvertible {
  /// One line that names the key, tensor or window.
  public var description: String {
    switch self {
    case .unknownArchitecture(let name, let supported):
      "architecture '\(name)' is not supported; supported: \(supported.joined(separator: ", "))"
    case .missingKey(let key): "metadata key '\(key)' is missing"
    case .invalidKey(let key, let reason): "metadata key '\(key)' \(reason)"
    case .unsupportedValue(let key, let value, let reason): "metadata key '\(key)' is \(value), \(reason)"
    case .unsupportedFactor(let tensor):
      "tensor '\(tensor)' multiplies a matrix, which the forward pass does not support"
    case .unsupportedTensor(let name, let reason): "tensor '\(name)' \(reason)"
    case .beyondSlidingWindow(let key, let positions, let length):
      "metadata key '\(key)' is \(positions), but windows of the text have \(length) tokens"
    case .missingTensor(let name): "tensor '\(name)' is missing"
    case .wrongShape(let tensor, let found, let expected): "tensor '\(tensor)' is \(found), expected \(expected)"
    case .integers(let tensor, let type): "tensor '\(tensor)' holds integers (\(type)), not weights"
    case .unequalWindows(let index, let count, let expected):
      "window \(index) has \(count) tokens, but the first has \(expected)"
    case .noWindows: "there is no window of text to run"
    case .unknownToken(let id, let window, let position, let vocabulary):
      "token \(id) at position \(position) of window \(window) is outside the vocabulary of \(vocabulary)"
    case .nonFinite(let tensor, let window?, let position?):
      "NaN or infinity in the activations at '\(tensor)'\(Self.layer(of: tensor)), at position \(position) of window "
        + "\(window)"
    case .nonFinite(let tensor, _, _): "NaN or infinity in the activations at '\(tensor)'\(Self.layer(of: tensor))"
    case .budgetTooSmall(let bytes, let minimum):
      "\(bytes) bytes of memory are too few: at least \(minimum) are needed"
    }
  }

  private static func layer(of tensor: String) -> String {
    TensorName(tensor).layer.map { ", in layer \($0)" } ?? ""
  }
}
