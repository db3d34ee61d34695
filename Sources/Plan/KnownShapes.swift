/// Models that can be planned by name: the published config.json, reduced to the keys that shapes and cache depend on.
///
/// This is data. A plan reads it like a config.json file.
public struct KnownShape: Sendable {
  /// The model's usual name.
  public let name: String
  /// Other names of the model, and derived models of the same shape.
  public let aliases: [String]
  /// Bytes of metadata in its published GGUF files; nil if not measured.
  let metadataBytes: Int?
  let config: String

  /// Looks up a name. Case, dashes, dots, spaces and a trailing "Instruct" are ignored.
  init?(named name: String) {
    func plain(_ name: String) -> String {
      let letters = name.lowercased().filter { $0.isLetter || $0.isNumber }
      return letters.hasSuffix("instruct") ? String(letters.dropLast(8)) : letters
    }
    let name = plain(name)
    guard let shape = Self.all.first(where: { ([$0.name] + $0.aliases).contains { plain($0) == name } }) else {
      return nil
    }
    self = shape
  }

  init(_ name: String, _ aliases: [String], metadataBytes: Int? = nil, _ config: String) {
    self.name = name
    self.aliases = aliases
    self.metadataBytes = metadataBytes
    self.config = config
  }

  /// All models that can be planned by name.
  public static let all = others + gemma + qwen + experts + dense

  private static let others: [KnownShape] = [
    KnownShape(
      "Llama-3.1-405B", ["Meta-Llama-3.1-405B"],
      """
      {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126,
        "num_attention_heads": 128, "num_key_value_heads": 8, "vocab_size": 128256,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
        "rope_scaling": {
          "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192
        },
        "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "Llama-3.3-70B", ["Llama-3.1-70B", "Meta-Llama-3.1-70B"], metadataBytes: 7_866_816,
      """
      {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
        "rope_scaling": {
          "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192
        },
        "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "Qwen2.5-72B", [],
      """
      {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
        "hidden_size": 8192, "intermediate_size": 29568, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 152064,
        "max_position_embeddings": 32768, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
        "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "Qwen2.5-Coder-32B", ["Qwen2.5-32B"], metadataBytes: 5_979_488,
      """
      {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
        "hidden_size": 5120, "intermediate_size": 27648, "num_hidden_layers": 64,
        "num_attention_heads": 40, "num_key_value_heads": 8, "vocab_size": 152064,
        "max_position_embeddings": 32768, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
        "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "Midnight-Miqu-103B", ["Midnight-Miqu-103B-v1.5"],
      """
      {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 120,
        "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 32000,
        "max_position_embeddings": 32764, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
        "tie_word_embeddings": false, "torch_dtype": "float16"
      }
      """),
    KnownShape(
      "Mistral-Large-2407", ["Mistral-Large-2", "Magnum-v4-123B"],
      """
      {
        "architectures": ["MistralForCausalLM"], "model_type": "mistral",
        "hidden_size": 12288, "intermediate_size": 28672, "num_hidden_layers": 88, "head_dim": 128,
        "num_attention_heads": 96, "num_key_value_heads": 8, "vocab_size": 32768,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
        "sliding_window": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "DeepSeek-Coder-V2", ["DeepSeek-V2", "DeepSeek-V2.5"],
      """
      {
        "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2",
        "hidden_size": 5120, "intermediate_size": 12288, "num_hidden_layers": 60,
        "num_attention_heads": 128, "num_key_value_heads": 128, "vocab_size": 102400,
        "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
        "v_head_dim": 128, "first_k_dense_replace": 1, "moe_layer_freq": 1,
        "moe_intermediate_size": 1536, "n_routed_experts": 160, "n_shared_experts": 2,
        "num_experts_per_tok": 6, "n_group": 8, "topk_group": 3, "topk_method": "group_limited_greedy",
        "scoring_func": "softmax", "norm_topk_prob": false, "routed_scaling_factor": 16.0,
        "max_position_embeddings": 163840, "rms_norm_eps": 1e-06, "rope_theta": 10000,
        "rope_scaling": {
          "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32,
          "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707
        },
        "hidden_act": "silu", "attention_bias": false, "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "DeepSeek-R1", ["DeepSeek-V3", "DeepSeek-R1-671B"], metadataBytes: 5_302_912,
      """
      {
        "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
        "hidden_size": 7168, "intermediate_size": 18432, "num_hidden_layers": 61,
        "num_attention_heads": 128, "num_key_value_heads": 128, "vocab_size": 129280,
        "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
        "v_head_dim": 128, "first_k_dense_replace": 3, "moe_layer_freq": 1,
        "moe_intermediate_size": 2048, "n_routed_experts": 256, "n_shared_experts": 1,
        "num_experts_per_tok": 8, "n_group": 8, "topk_group": 4, "topk_method": "noaux_tc",
        "scoring_func": "sigmoid", "norm_topk_prob": true, "routed_scaling_factor": 2.5,
        "num_nextn_predict_layers": 1,
        "max_position_embeddings": 163840, "rms_norm_eps": 1e-06, "rope_theta": 10000,
        "rope_scaling": {
          "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32,
          "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0
        },
        "quantization_config": {
          "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]
        },
        "hidden_act": "silu", "attention_bias": false, "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "gpt-oss-20b", [], metadataBytes: 13_008_224,
      """
      {
        "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss",
        "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 24, "head_dim": 64,
        "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 201088,
        "num_local_experts": 32, "num_experts_per_tok": 4, "sliding_window": 128, "swiglu_limit": 7.0,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 150000,
        "rope_scaling": {
          "rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "beta_fast": 32.0,
          "beta_slow": 1.0, "truncate": false
        },
        "quantization_config": { "quant_method": "mxfp4" },
        "hidden_act": "silu", "attention_bias": true, "tie_word_embeddings": false
      }
      """),
    KnownShape(
      "gpt-oss-120b", [], metadataBytes: 13_022_240,
      """
      {
        "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss",
        "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 36, "head_dim": 64,
        "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 201088,
        "num_local_experts": 128, "num_experts_per_tok": 4, "sliding_window": 128, "swiglu_limit": 7.0,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 150000,
        "rope_scaling": {
          "rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "beta_fast": 32.0,
          "beta_slow": 1.0, "truncate": false
        },
        "quantization_config": { "quant_method": "mxfp4" },
        "hidden_act": "silu", "attention_bias": true, "tie_word_embeddings": false
      }
      """),
  ]
}
