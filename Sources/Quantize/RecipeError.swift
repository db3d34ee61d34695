import Tensors

/// A recipe or rule that can't be used.
public enum RecipeError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The rule is not of the form REGEX=TYPE, or its pattern is invalid or too slow.
  case badRule(rule: String, reason: String)
  /// The rule's type does not exist.
  case unknownType(rule: String, type: String)
  /// The rule matches no quantizable tensor.
  case unmatched(rule: String)
  /// The rule matches a tensor of integers, and no quantizable tensor.
  case integers(rule: String, tensor: String, type: GGMLType)
  /// The text is not a recipe.
  case malformed(file: String, reason: String)
  /// An error of a rule in a file.
  indirect case within(file: String, RecipeError)

  /// One line that names the file or rule.
  public var description: String {
    switch self {
    case .badRule(let rule, let reason): "rule \(rule): \(reason)"
    case .unknownType(let rule, let type): "rule \(rule): unknown type \(type)"
    case .unmatched(let rule): "rule \(rule): matches no tensor that can be quantized"
    case .integers(let rule, let tensor, let type):
      "rule \(rule): tensor \(tensor) holds integers (\(type)), which are copied unchanged"
    case .malformed(let file, let reason): "\(file): \(reason)"
    case .within(let file, let error): "\(file): \(error)"
    }
  }
}
