import GGUF
import Quantize
import Tensors

/// Tensors that break a model at few bits although their error is small, each with the source of that fact.
/// A mix for a size gives them no fewer bits than their floor; a pin lifts it.
public enum FragileTensors {
  public struct Floor: Sendable, Equatable, Codable {
    /// Names without the layer: `ssm_alpha`.
    public let classes: [String]
    public let type: String
    /// Number of the model's tensors with this floor.
    public let tensors: Int
  }

  private struct Kind: Sendable {
    let floor: GGMLType
    let includes: @Sendable (String) -> Bool
  }

  private static let kinds: [Kind] = [
    // Decay and write strength of a gated delta net act on the state of all later tokens. Quantized ones broke long
    // reasoning in Qwen3.8-27B (turbo-tan/llama.cpp-tq3 #75 keeps F32); Unsloth publishes Q8_0 (candle #3821).
    Kind(floor: .q8_0) { ["ssm_alpha", "ssm_beta", "ssm_ba"].contains($0) },
    // An indexer decides which positions attention sees at all: llama-quantize leaves it as it is (glm5-next).
    Kind(floor: .q8_0) { $0.hasPrefix("indexer.") || $0.hasPrefix("indexer_") },
    // Hyper-connections mix the residual streams of all layers: llama-quantize leaves them as they are (glm5-next).
    Kind(floor: .q8_0) { $0.hasPrefix("hc_") || $0.hasPrefix("output_hc_") },
    // The key half of MLA's second projection is absorbed into the query, so that its error multiplies: jukofyork in
    // llama.cpp #8194 and #11446. Published mixes break below five bits.
    Kind(floor: .q5_K) { $0 == "attn_k_b" },
  ]

  /// A matrix of an unmeasured class, this many times smaller than the largest matrix of a layer, is treated as a router: a
  /// decision about whole tokens, which llama-quantize never quantizes (ffn_gate_inp). Its bytes are negligible.
  private static let routerShare = 500

  /// The floors of a model by tensor name.
  static func safeguards(of source: any ModelSource) -> [String: GGMLType] {
    Dictionary(tensors(of: source).map { ($0.tensor.name, $0.floor) }, uniquingKeysWith: { first, _ in first })
  }

  /// The floors that hold in a model, but for tensors that are pinned.
  static func floors(of source: any ModelSource, under constraints: TypeConstraints) -> [Floor] {
    var found: [GGMLType: [TensorInfo]] = [:]
    for (tensor, floor) in tensors(of: source) where constraints.pinned(tensor) == nil {
      found[floor, default: []].append(tensor)
    }
    return found.sorted { $0.key.rawValue < $1.key.rawValue }.map { floor, tensors in
      Floor(
        classes: Set(tensors.map { TensorName($0.name).title }).sorted(), type: name(of: floor, in: source),
        tensors: tensors.count)
    }
  }

  /// The name of a floor: for another form than GGUF, that of its smallest type with at least as many bits.
  private static func name(of floor: GGMLType, in source: any ModelSource) -> String {
    let types = (source.outputForm?.menu ?? []).filter { $0.bitsPerWeight >= floor.bitsPerWeight }
    let type = types.min { ($0.bitsPerWeight, $0.rawValue) < ($1.bitsPerWeight, $1.rawValue) }
    return type?.menuName ?? floor.name
  }

  private static func tensors(of source: any ModelSource) -> [(tensor: TensorInfo, floor: GGMLType)] {
    let tensors = source.tensors.filter(\.isQuantizable)
    let largest = tensors.filter { $0.layer != nil }.map(\.shape.count).max() ?? 0
    let prior = Prior(of: source)
    let architecture = source.metadata.optionalString("general.architecture") ?? ""
    return tensors.compactMap { tensor in
      // Stock mixes keep the types of these tensors: readers add some of them to others, which fails for quantized blocks.
      if ArchitectureRules.keepsType(tensor.name, architecture: architecture) { return (tensor, tensor.type) }
      if ArchitectureRules.hasFloor(tensor.name, architecture: architecture) { return (tensor, .q8_0) }
      let name = TensorName(tensor.name).title
      if let kind = kinds.first(where: { $0.includes(name) }) { return (tensor, kind.floor) }
      let isRouter =
        tensor.layer != nil && routerShare * tensor.shape.count <= largest && !prior.worth(of: tensor).isMeasuredClass
      return isRouter ? (tensor, .q8_0) : nil
    }
  }
}
