/// Why a recipe, or a rule of one, can't be used.
public enum RecipeError: Error, Equatable, Sendable, CustomStringConvertible {
  case badRule(rule: String, reason: String)
  case unknownType(rule: String, type: String)
  /// The rule matches no tensor that may be quantized.
  case unmatched(rule: String)
  /// The text is no recipe.
  case malformed(file: String, reason: String)
  /// A rule of a file.
  indirect case within(file: String, RecipeError)

  public var description: String {
    switch self {
    case .badRule(let rule, let reason): "rule \(rule): \(reason)"
    case .unknownType(let rule, let type): "rule \(rule): there is no type \(type)"
    case .unmatched(let rule): "rule \(rule): matches no tensor that can be quantized"
    case .malformed(let file, let reason): "\(file): \(reason)"
    case .within(let file, let error): "\(file): \(error)"
    }
  }

  public var hint: String? {
    switch self {
    case .badRule: "write REGEX=TYPE, such as 'attn_v=Q6_K'"
    case .unknownType: "types are named as in llama.cpp: Q4_K, IQ2_XXS, F16, ..."
    case .unmatched: "check the pattern against `qtool inspect --tensors`, or go on with --lenient"
    case .within(_, let error): error.hint
    case .malformed: "a recipe has `base: TYPE` or `mix: NAME`, and a list `rules` of REGEX=TYPE"
    }
  }
}
