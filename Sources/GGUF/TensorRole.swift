/// The function of a tensor in the model, derived from its GGUF name. Mixes choose types by it.
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

  /// The role of a tensor of this GGUF name.
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
}

extension [UInt8] {
  /// Whether `part` occurs in the bytes. Names are short and a mix tests each about forty times.
  func holds(_ part: [UInt8]) -> Bool {
    guard count >= part.count else { return false }
    for start in 0...count - part.count where self[start] == part[0] {
      var length = 1
      while length < part.count, self[start + length] == part[length] { length += 1 }
      if length == part.count { return true }
    }
    return false
  }
}
