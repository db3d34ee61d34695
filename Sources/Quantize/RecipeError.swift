import Tensors

/// Why a recipe, or a rule of one, can't be used.
public enum RecipeError: Error, Equatable, Sendable, CustomStringConvertible {
  case badRule(rule: String, reason: String)
  case unknownType(rule: String, type: String)
  /// The rule matches no tensor that may be quantized.
  case unmatched(rule: String)
  /// The rule matches a tensor of integers, and none that may be quantized.
  case integers(rule: String, tensor: String, type: GGMLType)
  /// The text is no recipe.
  case malformed(file: String, reason: String)
  /// A rule of a file.
  indirect case within(file: String, RecipeError)

  public var description: String {
    switch self {
    case .badRule(let rule, let reason): "rule \(rule): \(reason)"
    case .unknownType(let rule, let type): "rule \(rule): there is no type \(type)"
    case .unmatched(let rule): "rule \(rule): matches no tensor that can be quantized"
    case .integers(let rule, let tensor, let type):
      "rule \(rule): tensor \(tensor) holds integers (\(type)), which are copied as they are"
    case .malformed(let file, let reason): "\(file): \(reason)"
    case .within(let file, let error): "\(file): \(error)"
    }
  }
}
