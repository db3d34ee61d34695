import GGUF
import Tensors

/// The exceptions of llama-quantize's mixes, ordered by role, then by mix.
struct StockRules {
  private let mix: StockMix
  private let hasImportance: Bool
  private let architecture: String
  /// The number of query heads per key/value head.
  private let queriesPerKey: Int
  private let experts: Int
  private let is70B: Bool
  private let isFalcon: Bool
  private let tiedEmbeddings: Bool
  private let layers: Int
  private let valueTensors: Int
  private var valuesSeen = 0
  private var downsSeen = 0

  init(mix: StockMix, model: any ModelSource, _ tensors: MixTensors, hasImportance: Bool) {
    self.mix = mix
    self.hasImportance = hasImportance
    architecture = model.architecture
    let architecture = architecture
    // Some models have a number of heads per layer.
    func number(_ key: String) -> Int? { model.metadata.optionalInts("\(architecture).\(key)")?.first }
    // Bounded like the number of tensors in a header.
    layers = min(max(0, number("block_count") ?? 0), 1 << 20)
    experts = number("expert_count") ?? 0
    let heads = number("attention.head_count") ?? 0
    let keyHeads = number("attention.head_count_kv") ?? heads
    queriesPerKey = keyHeads > 0 ? heads / keyHeads : 0
    is70B =
      switch architecture {
      case "llama": layers == 80 && heads != keyHeads
      case "qwen2", "deci", "olmo": layers == 80
      case "jais2": layers == 68
      default: false
      }
    isFalcon = architecture == "falcon"
    tiedEmbeddings = model.tensor(named: "output.weight") == nil
    valueTensors = tensors.roles.count { $0.holdsValues }
  }

  /// Whether a layer is in the first or last eighth, or a third one between them.
  private func getsMoreBits(_ layer: Int, of count: Int) -> Bool {
    layer < count / 8 || layer >= 7 * count / 8 || (layer - count / 8) % 3 == 2
  }

  private static let lowBit: Set<StockMix> = [.iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq2_m]

  mutating func type(of tensor: TensorInfo, _ role: TensorRole, layer: Int?) -> GGMLType {
    if ArchitectureRules.hasFloor(tensor.name, architecture: architecture) { return .q8_0 }
    if role == .output || role == .tokenEmbedding && tiedEmbeddings { return outputType(tensor) }
    if mix == .mxfp4_MOE {
      return ArchitectureRules.isExpertStack(tensor, role, architecture: architecture) ? .mxfp4 : .q8_0
    }
    if role == .tokenEmbedding { return embeddingType }
    if Self.lowBit.contains(mix) { return lowBitType(role) }
    switch role {
    case .attentionV, .attentionQKV, .attentionKVB: return valueType()
    case .attentionK, .attentionQ: return queryOrKeyType(role)
    case .attentionOutput: return attentionOutputType
    case .feedForwardDown: return downType(layer)
    case .feedForwardGate, .feedForwardUp:
      let layer = layer ?? 0
      return mix == .iq3_xs && layer >= layers / 8 && layer < 7 * layers / 8 ? .iq3_xxs : mix.base
    case .other, .output, .tokenEmbedding: return mix.base
    }
  }

  private func outputType(_ tensor: TensorInfo) -> GGMLType {
    if mix == .mxfp4_MOE || isFalcon || tensor.shape.columns % mix.base.blockLength != 0 { return .q8_0 }
    switch mix {
    case .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq2_m, .iq3_xxs: return .q5_K
    case .q8_0: return .q8_0
    default: return .q6_K
    }
  }

  private var embeddingType: GGMLType {
    switch mix {
    case .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs: .q2_K
    case .iq2_s, .iq2_m, .iq3_xxs: .iq3_s
    case .tq1_0, .tq2_0: .q4_K
    default: mix.base
    }
  }

  private mutating func lowBitType(_ role: TensorRole) -> GGMLType {
    let upper = mix == .iq2_s || mix == .iq2_m
    switch role {
    case .attentionV, .attentionQKV, .attentionKVB:
      return queriesPerKey >= 4 || experts >= 4 ? .q4_K : upper ? .iq3_s : .q2_K
    case .attentionK where experts == 8: return .q4_K
    case .feedForwardDown:
      defer { downsSeen += 1 }
      return downsSeen < layers / 8 ? (upper ? .iq3_s : .q2_K) : mix.base
    case .attentionOutput where experts == 8: return .q5_K
    case .attentionOutput:
      return mix == .iq1_s || mix == .iq1_m ? .iq2_xxs : upper ? .iq3_s : mix.base
    default: return mix.base
    }
  }

  private mutating func valueType() -> GGMLType {
    defer { valuesSeen += 1 }
    let shared = queriesPerKey >= 4
    var type = mix.base
    switch mix {
    case .q2_K: type = shared ? .q4_K : .q3_K
    case .q2_K_S where shared: type = .q4_K
    case .iq3_xxs: type = shared ? .q4_K : hasImportance ? .iq3_xxs : .iq3_s
    case .iq3_xs where shared, .iq3_s where shared: type = .q4_K
    case .iq3_m: type = .q4_K
    case .q3_K_M: type = valuesSeen < 2 ? .q5_K : .q4_K
    case .q3_K_L: type = .q5_K
    case .iq4_nl where shared, .iq4_xs where shared: type = .q5_K
    case .q4_K_M where getsMoreBits(valuesSeen, of: valueTensors): type = .q6_K
    case .q5_K_M where getsMoreBits(valuesSeen, of: valueTensors): type = .q6_K
    case .q4_K_S where valuesSeen < 4: type = .q5_K
    default: break
    }
    if is70B, type == .q3_K || type == .q4_K { type = .q5_K }
    return experts == 8 ? .q8_0 : type
  }

  private func queryOrKeyType(_ role: TensorRole) -> GGMLType {
    if role == .attentionK, experts == 8 { return .q8_0 }
    switch mix {
    case .iq3_xs: return .iq3_xxs
    case .iq3_xxs: return .iq2_s
    default: return mix.base
    }
  }

  private var attentionOutputType: GGMLType {
    if isFalcon { return mix == .q3_K_L ? .q4_K : mix.base }
    if experts == 8 {
      let raised: Set<StockMix> = [
        .q2_K, .iq3_xs, .iq3_xxs, .q3_K_S, .q3_K_M, .iq4_nl, .q4_K_S, .q4_K_M, .iq3_s, .iq3_m, .iq4_xs,
      ]
      return raised.contains(mix) ? .q5_K : mix.base
    }
    switch mix {
    case .q2_K: return .q3_K
    case .iq3_xxs: return .iq3_s
    case .q3_K_M, .iq3_m: return .q4_K
    case .q3_K_L: return .q5_K
    default: return mix.base
    }
  }

  private mutating func downType(_ tensorLayer: Int?) -> GGMLType {
    defer { downsSeen += 1 }
    let layer = experts > 1 ? tensorLayer ?? 0 : downsSeen
    let early = layer < layers / 8
    if isFalcon {
      let veryEarly = layer < layers / 16
      let more = getsMoreBits(layer, of: layers)
      switch mix {
      case .q3_K_M where !veryEarly: return more ? .q4_K : .q3_K
      case .q3_K_L: return .q4_K
      case .q4_K_M: return veryEarly ? .q6_K : more ? .q5_K : .q4_K
      case .q4_K_S: return .q4_K
      default: break
      }
    }
    switch mix {
    case .q2_K: return .q3_K
    case .q2_K_S where early: return .q4_K
    case .iq3_xxs where !hasImportance: return early ? .q4_K : .q3_K
    case .q3_K_M: return layer < layers / 16 ? .q5_K : .q4_K
    case .iq3_m where early || experts == 8 && getsMoreBits(layer, of: layers): return .q4_K
    case .q3_K_L: return .q5_K
    case .q4_K_M where getsMoreBits(layer, of: layers): return .q6_K
    case .iq4_nl where early && !hasImportance, .iq4_xs where early && !hasImportance: return .q5_K
    case .q5_K_M where getsMoreBits(layer, of: layers): return .q6_K
    case .q4_K_S where early: return .q5_K
    case .q4_0 where early && hasImportance: return .q4_1
    case .q5_0 where early && hasImportance: return .q5_1
    default: return mix.base
    }
  }
}
