import GGUF
import Quantize
import Tensors

/// A named mix, as a plan lists it.
public struct PlannedMix: Sendable {
  /// The name of the mix.
  public let name: String
  /// Whether it is useful only with an importance matrix.
  public let needsImportance: Bool
  /// Mean KL divergence as published for one model; nil if none is published.
  let publishedDrift: Double?
  /// Whether it is made for the model's shapes, to lose less than a stock mix of its size.
  let isPreset: Bool
  let types: @Sendable (_ model: any ModelSource) -> [GGMLType]

  /// - Parameter beforeSplitLatents: whether to choose types as llama-quantize did for the old form of latent
  ///   attention,
  ///   when it had no rule for `attn_kv_b`, which got the base type.
  init(_ mix: StockMix, hasImportance: Bool, beforeSplitLatents: Bool = false) {
    name = mix.rawValue
    needsImportance = mix.base.needsImportance
    publishedDrift = PublishedDrift.meanKLD(mix, hasImportance: hasImportance)
    isPreset = false
    types = { model in
      let types = mix.types(for: model, hasImportance: hasImportance)
      guard beforeSplitLatents else { return types }
      return zip(model.tensors, types).map { tensor, type in
        tensor.role == .attentionKVB ? mix.base.fitting(columns: tensor.shape.columns) : type
      }
    }
  }

  /// A mix of another form than GGUF.
  public init(name: String, types: @escaping @Sendable (_ model: any ModelSource) -> [GGMLType]) {
    self.name = name
    needsImportance = false
    publishedDrift = nil
    isPreset = false
    self.types = types
  }

  init(_ preset: Preset, hasImportance: Bool) {
    name = preset.rawValue
    needsImportance = preset.needsImportance
    publishedDrift = nil
    isPreset = true
    types = { preset.recipe(for: $0).types(for: $0, hasImportance: hasImportance) }
  }

  /// Every stock mix, from the largest type to the smallest, and every preset.
  public static func all(hasImportance: Bool, beforeSplitLatents: Bool = false) -> [PlannedMix] {
    StockMix.allCases.map {
      PlannedMix($0, hasImportance: hasImportance, beforeSplitLatents: beforeSplitLatents)
    }
      + Preset.allCases.map { PlannedMix($0, hasImportance: hasImportance) }
  }
}
