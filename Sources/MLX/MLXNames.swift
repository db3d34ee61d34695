import Files
import Foundation
import GGUF
import Tensors

/// The values of config.json's `model_type` whose models are written for MLX.
package let modelTypesOfMLX = MLXNames.modelTypes

/// MLX's names of a model's tensors, which mlx_lm has after `sanitize`.
struct MLXNames: Sendable {
  /// Models whose modules have the same names.
  enum Family: Sendable {
    case dense, mixtral, minimax, deepseek2, deepseek3, gemma3, gemma4, qwen35, qwen3Next, gptOss, phi3
  }

  let family: Family
  /// Whether the language model is a part of a larger one in MLX, so that `language_model.` precedes all names.
  let isNested: Bool

  /// - Parameter modelType: config.json's `model_type`; nil for one whose names are unknown.
  init?(modelType: String) {
    guard let known = Self.known.first(where: { $0.modelType == modelType }) else { return nil }
    (family, isNested) = (known.family, known.isNested)
  }

  private static let known: [(modelType: String, family: Family, isNested: Bool)] = [
    ("llama", .dense, false), ("mistral", .dense, false), ("mixtral", .mixtral, false), ("qwen2", .dense, false),
    ("qwen3", .dense, false), ("qwen3_moe", .dense, false), ("deepseek_v2", .deepseek2, false),
    ("deepseek_v3", .deepseek3, false), ("kimi_k2", .deepseek3, false), ("gemma3_text", .gemma3, false),
    ("gemma3", .gemma3, true), ("gemma4_text", .gemma4, false), ("gemma4", .gemma4, true), ("qwen3_5", .qwen35, true),
    ("qwen3_5_text", .qwen35, true), ("qwen3_5_moe", .qwen35, true), ("qwen3_5_moe_text", .qwen35, true),
    ("gpt_oss", .gptOss, false), ("seed_oss", .dense, false), ("smollm3", .dense, false), ("granite", .dense, false),
    ("olmo2", .dense, false), ("olmo3", .dense, false), ("ernie4_5", .dense, false), ("phi3", .phi3, false),
    ("ministral3", .dense, false), ("mistral3", .dense, true), ("qwen3_vl", .dense, true),
    ("qwen3_vl_moe", .dense, true), ("glm4_moe", .dense, false), ("glm4_moe_lite", .deepseek3, false),
    ("minimax", .minimax, false), ("minimax_m2", .minimax, false), ("deepseek_v32", .deepseek3, false),
    ("glm_moe_dsa", .deepseek3, false), ("qwen3_next", .qwen3Next, false),
  ]

  static let modelTypes = known.map(\.modelType)

  private static let attention: [String: String] = [
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_q_a": "self_attn.q_a_proj", "attn_q_a_norm": "self_attn.q_a_layernorm",
    "attn_q_b": "self_attn.q_b_proj", "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa",
    "attn_kv_a_norm": "self_attn.kv_a_layernorm", "attn_kv_b": "self_attn.kv_b_proj",
    "attn_k_b": "self_attn.embed_q", "attn_v_b": "self_attn.unembed_out", "ffn_norm": "post_attention_layernorm",
    "post_attention_norm": "post_attention_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
    "indexer.attn_k": "self_attn.indexer.wk", "indexer.attn_q_b": "self_attn.indexer.wq_b",
    "indexer.proj": "self_attn.indexer.weights_proj", "indexer.k_norm": "self_attn.indexer.k_norm",
  ]

  private static let gemma: [String: String] = [
    "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm_1": "post_feedforward_layernorm_1",
    "post_ffw_norm_2": "post_feedforward_layernorm_2", "pre_ffw_norm_2": "pre_feedforward_layernorm_2",
    "inp_gate": "per_layer_input_gate", "proj": "per_layer_projection", "post_norm": "post_per_layer_input_norm",
    "ffn_gate_inp": "router.proj",
  ]

  private static let phi: [String: String] = ["attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"]

  private static let deltaNet: [String: String] = [
    "ssm_in": "linear_attn.in_proj_qkvz", "ssm_ba": "linear_attn.in_proj_ba",
    "attn_qkv": "linear_attn.in_proj_qkv", "attn_gate": "linear_attn.in_proj_z",
    "ssm_alpha": "linear_attn.in_proj_a", "ssm_beta": "linear_attn.in_proj_b", "ssm_conv1d": "linear_attn.conv1d",
    "ssm_norm": "linear_attn.norm", "ssm_out": "linear_attn.out_proj", "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
  ]

  /// Tensors whose names in MLX are not those of a module and `weight` or `bias`.
  private static let parameters: [String: (module: String, name: String)] = [
    "exp_probs_b.bias": ("bias", "e_score_correction_bias"), "ffn_gate_inp.scale": ("router", "scale"),
    "ffn_down_exps.scale": ("router", "per_expert_scale"), "layer_output_scale.weight": ("", "layer_scalar"),
    "ssm_dt.bias": ("linear_attn", "dt_bias"), "ssm_a": ("linear_attn", "A_log"),
    "attn_sinks.weight": ("self_attn", "sinks"),
  ]

  /// The module that holds the router, that of the biases of its choice, and that of the stacked experts.
  private var experts: (router: String, biases: String, stack: String) {
    switch family {
    case .mixtral, .minimax: ("block_sparse_moe.gate", "block_sparse_moe", "block_sparse_moe.switch_mlp")
    case .gptOss: ("mlp.router", "mlp.router", "mlp.experts")
    case .gemma4: ("router.proj", "router", "experts.switch_glu")
    default: ("mlp.gate", "mlp.gate", "mlp.switch_mlp")
    }
  }

  /// The name without `.weight` or `.bias`, and that suffix; nil for a tensor that MLX does not store, or does not know.
  /// Gate and up of Gemma 4's experts, one tensor of a GGUF, are two: this is the first.
  func name(of tensor: String) -> (module: String, suffix: String)? {
    let outer = isNested ? "language_model." : ""
    guard let layer = TensorName(tensor).layer else {
      guard let dot = tensor.lastIndex(of: ".") else { return nil }
      let suffix = String(tensor[tensor.index(after: dot)...])
      switch String(tensor[..<dot]) {
      case "token_embd": return (outer + "model.embed_tokens", suffix)
      case "output_norm": return (outer + "model.norm", suffix)
      case "output": return (outer + "lm_head", suffix)
      case "per_layer_token_embd": return (outer + "model.embed_tokens_per_layer", suffix)
      case "per_layer_model_proj": return (outer + "model.per_layer_model_projection", suffix)
      case "per_layer_proj_norm": return (outer + "model.per_layer_projection_norm", suffix)
      default: return nil
      }
    }
    let prefix = outer + "model.layers.\(layer)"
    let rest = String(tensor.dropFirst("blk.\(layer).".count))
    if let (module, name) = Self.parameters[rest] {
      let module = module == "bias" ? experts.biases : module
      return (module.isEmpty ? prefix : "\(prefix).\(module)", name)
    }
    guard let dot = rest.lastIndex(of: ".") else { return nil }
    return module(String(rest[..<dot])).map { ("\(prefix).\($0)", String(rest[rest.index(after: dot)...])) }
  }

  private func module(_ kind: String) -> String? {
    switch kind {
    case "ffn_gate_inp": return experts.router
    case "ffn_gate_exps", "ffn_gate_up_exps": return experts.stack + ".gate_proj"
    case "ffn_up_exps": return experts.stack + ".up_proj"
    case "ffn_down_exps": return experts.stack + ".down_proj"
    case "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp":
      let shared = [.qwen35, .qwen3Next].contains(family) ? "mlp.shared_expert" : "mlp.shared_experts"
      return shared + "." + kind.dropFirst("ffn_".count).prefix { $0 != "_" } + "_proj"
    default: break
    }
    switch family {
    case .gemma3, .gemma4: if let name = Self.gemma[kind] { return name }
    case .qwen35, .qwen3Next: if let name = Self.deltaNet[kind] { return name }
    case .phi3: if let name = Self.phi[kind] { return name }
    default: break
    }
    return Self.attention[kind]
  }

  /// The module of the second half of a tensor's rows in every matrix; nil for tensors that MLX has whole.
  func second(of tensor: String) -> String? {
    guard tensor.hasSuffix(".ffn_gate_up_exps.weight") else { return nil }
    return name(of: tensor).map { $0.module.replacing("gate_proj", with: "up_proj") }
  }

  /// The names of both parts of a weight, joined.
  func path(of tensor: String) -> String? { name(of: tensor).map { "\($0.module).\($0.suffix)" } }

  /// Computed from config.json by every reader, so that files do not have it.
  static func isOmitted(_ tensor: String) -> Bool {
    ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"].contains(tensor)
  }

  /// MLX keeps these in single precision.
  static func isSingle(_ tensor: String) -> Bool { tensor.hasSuffix(".exp_probs_b.bias") || tensor.hasSuffix(".ssm_a") }

  /// The dimensions of a tensor in MLX, the last one contiguous.
  func dimensions(of tensor: TensorInfo) -> [Int] {
    let reversed = Array(tensor.shape.dimensions.reversed())
    switch TensorName(tensor.name).title {
    // A kernel for each channel.
    case "ssm_conv1d": return reversed + [1]
    case "ffn_gate_inp_shexp" where reversed.count == 1: return [1] + reversed
    default: return reversed
    }
  }

  /// How elements in MLX follow from those in a GGUF; nil where they are the same.
  func change(of tensor: String) -> MLXElementChange? {
    if family == .gemma3, tensor.hasSuffix("_norm.weight") { return .minusOne }
    return tensor.hasSuffix(".ssm_a") ? .logarithm : nil
  }
}

/// A difference between the elements of a GGUF's tensor and of MLX's.
enum MLXElementChange: Sendable {
  /// Gemma 3 in MLX adds 1 to the weights of its norms, which a GGUF has with the 1.
  case minusOne
  /// MLX has A_log where a GGUF has -exp(A_log).
  case logarithm

  func toMLX(_ value: Float) -> Float {
    switch self {
    case .minusOne: value - 1
    case .logarithm: Float(log(-Double(value)))
    }
  }

  func fromMLX(_ value: Float) -> Float {
    switch self {
    case .minusOne: value + 1
    case .logarithm: Float(-exp(Double(value)))
    }
  }
}
