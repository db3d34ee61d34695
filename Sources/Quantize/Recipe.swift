import GGUF
import Tensors

/// A mix described by rules, which give types by tensor names. The first matching rule decides; the base applies to the
/// other tensors.
///
///     name: attention-higher
///     base: IQ2_XS
///     rules:
///       - ^output\.weight=Q6_K
///       - blk\.[0-3]\.ffn_down=Q3_K
///       - attn_=Q4_K
public struct Recipe: Sendable, Equatable {
  /// The types of tensors without a rule.
  public enum Base: Sendable, Equatable {
    /// One type for all.
    case type(GGMLType)
    /// A stock mix with its exceptions. Some mixes depend on whether there is an importance matrix; nil means whether one
    /// is given.
    case mix(StockMix, hasImportance: Bool?)
    /// The types of a model's tensors, in their order.
    case types([GGMLType])
  }

  /// The recipe's name; nil for none.
  public var name: String?
  /// The types of tensors without a rule.
  public var base: Base
  /// The rules, in the order of precedence.
  public var rules: [TypeRule]

  /// A recipe of a base and rules.
  public init(name: String? = nil, base: Base, rules: [TypeRule] = []) {
    self.name = name
    self.base = base
    self.rules = rules
  }

  /// Checks that every rule matches a tensor of the model.
  ///
  /// - Throws: ``RecipeError/unmatched(rule:)``, ``RecipeError/integers(rule:tensor:type:)`` or
  /// ``RecipeError/badRule(rule:reason:)`` for the first other rule.
  package func check(against model: any ModelSource) throws(RecipeError) {
    try rules.checkSpeed(on: model)
    for rule in rules.unmatched(in: model) { throw rule.unmatchedError(in: model) }
  }

  /// The types of all tensors of a model, in their order. If a type's blocks don't fit a tensor's rows, the tensor gets
  /// the type that llama-quantize would choose.
  public func types(for model: any ModelSource, hasImportance: Bool) -> [GGMLType] {
    let based: [GGMLType] =
      switch base {
      case .mix(let mix, let recorded): mix.types(for: model, hasImportance: recorded ?? hasImportance)
      case .types(let types): types
      case .type(let type):
        model.tensors.map { $0.isQuantizable ? type.fitting(columns: $0.shape.columns) : $0.exactType }
      }
    return zip(model.tensors, based).map { tensor, type in
      guard tensor.isQuantizable, let rule = rules.first(where: { $0.pattern.matches(tensor.name) }) else {
        return type
      }
      return rule.type.fitting(columns: tensor.shape.columns)
    }
  }

  /// `general.file_type` of a file with these tensors.
  public func fileType(of tensors: [TensorInfo]) -> Int {
    if case .mix(let mix, _) = base { mix.fileType } else { nearestFileType(tensors) }
  }
}

extension TypeRule {
  /// The error for a rule that matches no quantizable tensor.
  public func unmatchedError(in model: any ModelSource) -> RecipeError {
    let integers = model.tensors.first { $0.type.isInteger && pattern.matches($0.name) }
    return integers.map { .integers(rule: description, tensor: $0.name, type: $0.type) }
      ?? .unmatched(rule: description)
  }
}

extension [TypeRule] {
  /// Checks that patterns can be compared with the model's names in reasonable time.
  ///
  /// - Throws: ``RecipeError/badRule(rule:reason:)`` with the first.
  public func checkSpeed(on model: any ModelSource) throws(RecipeError) {
    for rule in self {
      for tensor in model.tensors
      where (tensor.isQuantizable || tensor.type.isInteger) && rule.pattern.search(tensor.name) == nil {
        throw .badRule(rule: rule.description, reason: "takes too long to compare with \(tensor.name)")
      }
    }
  }

  /// The rules that match no quantizable tensor.
  public func unmatched(in model: any ModelSource) -> [TypeRule] {
    let names = model.tensors.filter(\.isQuantizable).map(\.name)
    return filter { rule in !names.contains { rule.pattern.matches($0) } }
  }
}
