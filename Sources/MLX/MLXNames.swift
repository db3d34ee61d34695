import Files
import GGUF
import Tensors

/// MLX's names of a model's tensors, which mlx_lm has after `sanitize`.
struct MLXNames: Sendable {
  /// Models whose modules have the same names.
  enum Family: Sendable {
    case dense, mixtral, qwen3Experts, deepseek2, deepseek3

    /// Values of config.json's `model_type`.
    init?(modelType: String) {
      switch modelType {
      case "llama", "mistral", "qwen2", "qwen3": self = .dense
      case "mixtral": self = .mixtral
      case "qwen3_moe": self = .qwen3Experts
      case "deepseek_v2": self = .deepseek2
      case "deepseek_v3", "kimi_k2": self = .deepseek3
      default: return nil
      }
    }
  }

  static let modelTypes = [
    "llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "deepseek_v2", "deepseek_v3", "kimi_k2",
  ]

  let family: Family

  private static let layerNames: [String: String] = [
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_q_a": "self_attn.q_a_proj",
    "attn_q_a_norm": "self_attn.q_a_layernorm", "attn_q_b": "self_attn.q_b_proj",
    "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa", "attn_kv_a_norm": "self_attn.kv_a_layernorm",
    "attn_kv_b": "self_attn.kv_b_proj", "attn_k_b": "self_attn.embed_q", "attn_v_b": "self_attn.unembed_out",
    "ffn_gate_shexp": "mlp.shared_experts.gate_proj", "ffn_up_shexp": "mlp.shared_experts.up_proj",
    "ffn_down_shexp": "mlp.shared_experts.down_proj",
  ]

  /// The name without `.weight` or `.bias`, and that suffix; nil for a tensor that MLX does not store, or does not know.
  func name(of tensor: String) -> (module: String, suffix: String)? {
    guard let dot = tensor.lastIndex(of: ".") else { return nil }
    let suffix = String(tensor[tensor.index(after: dot)...])
    let stem = String(tensor[..<dot])
    guard let layer = TensorName(tensor).layer else {
      switch stem {
      case "token_embd": return ("model.embed_tokens", suffix)
      case "output_norm": return ("model.norm", suffix)
      case "output": return ("lm_head", suffix)
      default: return nil
      }
    }
    let kind = String(stem.dropFirst("blk.\(layer).".count))
    let prefix = "model.layers.\(layer)."
    let experts = family == .mixtral ? "block_sparse_moe." : "mlp."
    switch kind {
    case "ffn_gate_inp": return (prefix + experts + "gate", suffix)
    case "exp_probs_b": return (prefix + experts + "gate", "e_score_correction_bias")
    case "ffn_gate_exps": return (prefix + experts + "switch_mlp.gate_proj", suffix)
    case "ffn_up_exps": return (prefix + experts + "switch_mlp.up_proj", suffix)
    case "ffn_down_exps": return (prefix + experts + "switch_mlp.down_proj", suffix)
    default: return Self.layerNames[kind].map { (prefix + $0, suffix) }
    }
  }

  /// The names of both parts of a weight, joined.
  func path(of tensor: String) -> String? { name(of: tensor).map { "\($0.module).\($0.suffix)" } }

  /// Computed from config.json by every reader, so that files do not have it.
  static func isOmitted(_ tensor: String) -> Bool { tensor == "rope_freqs.weight" }

  /// MLX keeps these in single precision.
  static func isSingle(_ tensor: String) -> Bool { tensor.hasSuffix(".exp_probs_b.bias") }
}

/// The order of the rows of rotary queries and keys. GGUF's `llama` has the halves of a head interleaved, MLX has them one
/// after the other, as the `transformers` package.
struct MLXRowOrder: Sendable, Equatable {
  /// Rows of a head.
  let headRows: Int

  /// nil for tensors whose rows have the same order in both.
  init?(_ tensor: TensorInfo, of model: any ModelSource) {
    guard model.metadata.optionalString("general.architecture") == "llama" else { return nil }
    let kind = TensorName(tensor.name).title.replacing(".bias", with: "")
    guard kind == "attn_q" || kind == "attn_k",
      let heads = model.metadata.optionalInt("llama.attention.head_count"),
      let keyHeads = model.metadata.optionalInt("llama.attention.head_count_kv") ?? Optional(heads)
    else { return nil }
    let rows = tensor.shape.dimensions.count == 1 ? tensor.shape.columns : tensor.shape.rows
    let count = kind == "attn_q" ? heads : keyHeads
    guard count > 0, rows % count == 0, rows / count % 2 == 0 else { return nil }
    headRows = rows / count
  }

  /// MLX's row of one of GGUF's.
  func target(_ row: Int) -> Int {
    let (head, index) = row.quotientAndRemainder(dividingBy: headRows)
    return head * headRows + index % 2 * (headRows / 2) + index / 2
  }
}
