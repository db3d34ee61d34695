import Files
import GGUF
import Tensors

/// Keys of config.json that mlx_lm's classes read.
///
/// A checkpoint may lack keys for which the `transformers` package has a default. Of those that a class needs, or of which it
/// has another default, the directory has what the model means.
extension MLXClass {
  /// The keys that a configuration lacks, with their values.
  ///
  /// - Throws: `FormatError` for a key that the class needs, and that the model does not tell.
  func arguments(_ values: MLXClassValues, _ folder: MLXFolder) throws -> [(key: String, value: String)] {
    let given = folder.language
    func isMissing(_ key: String) -> Bool {
      // Without a rank of queries, null is its value.
      given[key] == nil || given[key] == .null && key != "q_lora_rank" && key != "rope_scaling"
    }
    // Gemma 4 has a base for each kind of layers.
    let shared = Self.shared.filter { name != "gemma4_text" || $0 != "rope_theta" }
    return try ((Self.further[name] ?? []) + shared).filter(isMissing).compactMap { key in
      if let value = values.text(key) { return value == "null" && given[key] == .null ? nil : (key, value) }
      guard needs(key) else { return nil }
      throw FormatError(
        path: folder.configPath, subject: "key \(key)", "is missing, and mlx_lm's class of \(folder.modelType) needs it"
      )
    }
  }

  /// The keys of `rope_parameters` that a class needs which reads it alone.
  func rotation(_ values: MLXClassValues) -> [(key: String, value: String)] {
    let theta = values.text("rope_theta").map { [(key: "rope_theta", value: $0)] } ?? []
    switch name {
    case "glm_moe_dsa": return theta
    case "qwen3_5":
      return theta + (values.rotatedPart.map { [(key: "partial_rotary_factor", value: $0)] } ?? [])
    case "ministral3", "mistral4":
      let length = values.int("rope.scaling.original_context_length") ?? values.int("context_length")
      return theta + [(key: "llama_4_scaling_beta", value: values.float("attention.temperature_scale") ?? "0.0")]
        + (length.map { [(key: "original_max_position_embeddings", value: "\($0)")] } ?? [])
    default: return []
    }
  }

  /// False for keys that have no meaning in some models of a class.
  private func needs(_ key: String) -> Bool {
    if key == "sliding_window" { return ["olmo3", "gpt_oss", "gemma3_text", "gemma4_text"].contains(name) }
    let optional: Set<String> = [
      "num_global_key_value_heads", "vocab_size_per_layer_input", "num_experts", "num_experts_per_tok",
      "moe_intermediate_size", "shared_expert_intermediate_size", "n_routed_experts", "n_shared_experts",
      "first_k_dense_replace", "layer_types", "top_k_experts", "original_max_position_embeddings",
    ]
    return !optional.contains(key) || ["qwen3_moe", "qwen3_next", "glm4_moe"].contains(name)
  }

  private static let shared = [
    "hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "num_key_value_heads",
    "rms_norm_eps", "vocab_size", "rope_theta", "max_position_embeddings",
  ]

  private static let latent = [
    "moe_intermediate_size", "n_routed_experts", "n_shared_experts", "num_experts_per_tok", "routed_scaling_factor",
    "kv_lora_rank", "q_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "n_group", "topk_group",
    "first_k_dense_replace", "norm_topk_prob",
  ]
  private static let indexer = ["index_n_heads", "index_head_dim", "index_topk"]
  private static let deltaNet = [
    "head_dim", "linear_num_value_heads", "linear_num_key_heads", "linear_key_head_dim", "linear_value_head_dim",
    "linear_conv_kernel_dim", "full_attention_interval", "num_experts", "num_experts_per_tok",
    "moe_intermediate_size", "shared_expert_intermediate_size",
  ]

  /// The keys of each class beside the shared ones.
  private static let further: [String: [String]] = [
    "llama": ["head_dim"], "qwen3": ["head_dim"], "seed_oss": ["head_dim"], "smollm3": ["head_dim"],
    "olmo2": ["head_dim"], "ernie4_5": ["head_dim"], "ministral3": ["head_dim"],
    "granite": ["logits_scaling", "attention_multiplier", "embedding_multiplier", "residual_multiplier"],
    "olmo3": ["head_dim", "sliding_window", "layer_types"],
    "phi3": ["partial_rotary_factor", "original_max_position_embeddings"],
    "mixtral": ["num_experts_per_tok", "num_local_experts"],
    "qwen3_moe": [
      "head_dim", "num_experts", "num_experts_per_tok", "decoder_sparse_step", "mlp_only_layers",
      "moe_intermediate_size", "norm_topk_prob",
    ],
    "glm4_moe": [
      "head_dim", "moe_intermediate_size", "norm_topk_prob", "n_group", "topk_group", "n_shared_experts",
      "n_routed_experts", "routed_scaling_factor", "num_experts_per_tok", "first_k_dense_replace", "use_qk_norm",
      "partial_rotary_factor", "rope_scaling",
    ],
    "minimax": ["head_dim", "num_experts_per_tok", "num_local_experts", "shared_intermediate_size", "rotary_dim"],
    "gpt_oss": ["head_dim", "num_local_experts", "num_experts_per_tok", "sliding_window", "layer_types"],
    "deepseek_v2": latent.filter { $0 != "norm_topk_prob" }, "deepseek_v3": latent, "glm4_moe_lite": latent,
    "mistral4": latent, "deepseek_v32": latent + indexer,
    "glm_moe_dsa": latent + indexer + ["topk_method", "scoring_func", "moe_layer_freq"],
    "gemma3_text": ["head_dim", "sliding_window", "rope_local_base_freq"],
    "gemma4_text": [
      "head_dim", "global_head_dim", "num_global_key_value_heads", "vocab_size_per_layer_input",
      "num_kv_shared_layers", "hidden_size_per_layer_input", "sliding_window", "final_logit_softcapping",
      "use_double_wide_mlp", "layer_types", "num_experts", "top_k_experts", "moe_intermediate_size",
    ],
    "qwen3_5": deltaNet,
    "qwen3_next": deltaNet + [
      "decoder_sparse_step", "mlp_only_layers", "partial_rotary_factor", "norm_topk_prob",
    ],
  ]
}
