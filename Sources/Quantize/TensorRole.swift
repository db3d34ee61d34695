import GGUF
import Tensors

/// What a tensor does, by its GGUF name: what mixes go by.
public enum TensorRole: String, Sendable, CaseIterable, Codable {
  case output
  case tokenEmbedding = "token_embd"
  case attentionQKV = "attn_qkv"
  case attentionKVB = "attn_kv_b"
  case attentionV = "attn_v"
  case attentionK = "attn_k"
  case attentionQ = "attn_q"
  case attentionOutput = "attn_output"
  case feedForwardUp = "ffn_up"
  case feedForwardGate = "ffn_gate"
  case feedForwardDown = "ffn_down"
  case other

  public init(name: String) {
    switch name {
    case "output.weight": self = .output
    case "token_embd.weight", "per_layer_token_embd.weight": self = .tokenEmbedding
    default:
      let name = Array(name.utf8)
      self = Self.parts.first { name.holds($0.part) }?.role ?? .other
    }
  }

  private static let parts: [(part: [UInt8], role: TensorRole)] = [
    ("attn_qkv.weight", TensorRole.attentionQKV), ("attn_kv_b.weight", .attentionKVB), ("attn_v.weight", .attentionV),
    ("attn_k.weight", .attentionK), ("attn_q.weight", .attentionQ), ("attn_output.weight", .attentionOutput),
    ("ffn_up", .feedForwardUp), ("ffn_gate", .feedForwardGate), ("ffn_down", .feedForwardDown),
  ].map { (Array($0.0.utf8), $0.1) }

  /// Attention values, alone or with others: small and sensitive.
  var holdsValues: Bool { self == .attentionV || self == .attentionQKV || self == .attentionKVB }
}

extension TensorInfo {
  public var role: TensorRole { TensorRole(name: name) }

  /// The number in `blk.<n>.`; nil outside of layers.
  public var layer: Int? {
    guard name.hasPrefix("blk.") else { return nil }
    return Int(name.dropFirst(4).prefix { $0 != "." })
  }

  /// True for the matrices that a quantizer may change; the others are small, or must be exact (norms, routers,
  /// convolutions, position tables). The same ones as llama-quantize.
  public var isQuantizable: Bool {
    guard shape.dimensions.count > 1, shape.dimensions.dropFirst().contains(where: { $0 > 1 }),
      name.hasSuffix("weight")
    else { return false }
    let name = Array(name.utf8)
    return !Self.exactParts.contains { name.holds($0) }
  }

  private static let exactParts: [[UInt8]] = [
    "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj",
    "position_embd.weight", "token_types.weight", "ssm_conv1d", "shortconv.conv.weight", "time_mix_first.weight",
    "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight",
    "time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight",
    "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight",
    "attn_rel_b.weight", "indexer.k_proj.weight", "indexer.q_proj.weight", ".position_embd", "sam.pos_embd",
    "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd", ".patch_merger", "a.rvq.codebook", "mm.a.code_embd",
  ].map { Array($0.utf8) }
}

extension [UInt8] {
  /// Whether `part` stands anywhere in it. Names are short and asked often: a mix asks some forty questions of each.
  fileprivate func holds(_ part: [UInt8]) -> Bool {
    guard count >= part.count else { return false }
    for start in 0...count - part.count where self[start] == part[0] {
      var length = 1
      while length < part.count, self[start + length] == part[length] { length += 1 }
      if length == part.count { return true }
    }
    return false
  }
}

extension GGMLType {
  /// The type that rows of `columns` elements get where this one's blocks don't fit: the nearest with blocks of 32, or
  /// F16 where not even those fit. As llama-quantize.
  public func fitting(columns: Int) -> GGMLType {
    guard columns % blockLength != 0 else { return self }
    let smaller: GGMLType =
      switch self {
      case .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s, .iq4_xs: .iq4_nl
      case .q2_K, .q3_K, .tq1_0, .tq2_0: .q4_0
      case .q4_K: .q5_0
      case .q5_K: .q5_1
      case .q6_K: .q8_0
      default: self
      }
    return columns % smaller.blockLength == 0 ? smaller : .f16
  }
}
