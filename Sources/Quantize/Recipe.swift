import GGUF
import Tensors

/// A mix as rules: what every tensor becomes, by its name. The first rule that matches decides; the base is for the
/// rest.
///
///     name: attention-higher
///     base: IQ2_XS
///     rules:
///       - ^output\.weight=Q6_K
///       - blk\.[0-3]\.ffn_down=Q3_K
///       - attn_=Q4_K
public struct Recipe: Sendable, Equatable {
  public enum Base: Sendable, Equatable {
    case type(GGMLType)
    /// A stock mix with its own exceptions. Some are others with an importance matrix than without; nil goes by
    /// whether one is given.
    case mix(StockMix, hasImportance: Bool?)
  }

  public var name: String?
  public var base: Base
  public var rules: [TypeRule]

  public init(name: String? = nil, base: Base, rules: [TypeRule] = []) {
    self.name = name
    self.base = base
    self.rules = rules
  }

  /// Refuses rules that no tensor of the model answers to.
  ///
  /// - Throws: ``RecipeError/unmatched(rule:)`` with the first, ``RecipeError/badRule(rule:reason:)``.
  public func check(against model: any ModelSource) throws(RecipeError) {
    try rules.checkSpeed(on: model)
    for rule in unmatched(in: model) { throw rule.unmatchedError(in: model) }
  }

  /// Rules that match no tensor that may be quantized.
  public func unmatched(in model: any ModelSource) -> [TypeRule] { rules.unmatched(in: model) }

  /// The types of all tensors of a model, in their order. Where a type's blocks don't fit a tensor's rows, it gets the
  /// one that llama-quantize would give it.
  public func types(for model: any ModelSource, hasImportance: Bool) -> [GGMLType] {
    let based: [GGMLType] =
      switch base {
      case .mix(let mix, let recorded): mix.types(for: model, hasImportance: recorded ?? hasImportance)
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

  /// `general.file_type` of a file with these types.
  public func fileType(of tensors: [TensorInfo]) -> Int {
    if case .mix(let mix, _) = base { mix.fileType } else { nearestFileType(tensors) }
  }
}

extension TypeRule {
  /// The error of a rule that matches no tensor that may be quantized.
  public func unmatchedError(in model: any ModelSource) -> RecipeError {
    let integers = model.tensors.first { $0.type.isInteger && pattern.matches($0.name) }
    return integers.map { .integers(rule: description, tensor: $0.name, type: $0.type) }
      ?? .unmatched(rule: description)
  }
}

extension [TypeRule] {
  /// Refuses patterns that take too long to compare with the model's names.
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

  /// Rules that match no tensor that may be quantized.
  public func unmatched(in model: any ModelSource) -> [TypeRule] {
    let names = model.tensors.filter(\.isQuantizable).map(\.name)
    return filter { rule in !names.contains { rule.pattern.matches($0) } }
  }
}
