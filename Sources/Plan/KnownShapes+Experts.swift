extension KnownShape {
  /// Models with experts: GLM 4.5 to 5, Kimi K2, MiniMax M2, Hunyuan 3, Ernie 4.5, Qwen 3-VL.
  static let experts: [KnownShape] = [
    glm(
      "GLM-4.5", ["GLM-4.6", "GLM-4.7"],
      """
      "hidden_size": 5120, "intermediate_size": 12288, "num_hidden_layers": 92, "n_routed_experts": 160,
      "moe_intermediate_size": 1536, "first_k_dense_replace": 3, "use_qk_norm": true, "routed_scaling_factor": 2.5
      """),
    glm(
      "GLM-4.5-Air", [],
      """
      "hidden_size": 4096, "intermediate_size": 10944, "num_hidden_layers": 46, "n_routed_experts": 128,
      "moe_intermediate_size": 1408, "first_k_dense_replace": 1, "use_qk_norm": false, "routed_scaling_factor": 1.0
      """),
    KnownShape(
      "GLM-4.7-Flash", [],
      """
      {
        "architectures": ["Glm4MoeLiteForCausalLM"], "model_type": "glm4_moe_lite",
        "hidden_size": 2048, "intermediate_size": 10240, "num_hidden_layers": 47, "num_attention_heads": 20,
        "num_key_value_heads": 20, "vocab_size": 154880, "q_lora_rank": 768, "kv_lora_rank": 512,
        "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256, "first_k_dense_replace": 1,
        "moe_intermediate_size": 1536, "n_routed_experts": 64, "n_shared_experts": 1, "num_experts_per_tok": 4,
        "n_group": 1, "topk_group": 1, "topk_method": "noaux_tc", "norm_topk_prob": true,
        "routed_scaling_factor": 1.8, "num_nextn_predict_layers": 1, "max_position_embeddings": 202752,
        "rms_norm_eps": 1e-05, "rope_theta": 1000000, "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "GLM-5", ["GLM-5.1"],
      """
      {
        "architectures": ["GlmMoeDsaForCausalLM"], "model_type": "glm_moe_dsa",
        "hidden_size": 6144, "intermediate_size": 12288, "num_hidden_layers": 78, "num_attention_heads": 64,
        "num_key_value_heads": 64, "vocab_size": 154880, "q_lora_rank": 2048, "kv_lora_rank": 512,
        "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256, "first_k_dense_replace": 3,
        "moe_intermediate_size": 2048, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8,
        "n_group": 1, "topk_group": 1, "topk_method": "noaux_tc", "scoring_func": "sigmoid", "norm_topk_prob": true,
        "routed_scaling_factor": 2.5, "index_n_heads": 32, "index_head_dim": 128, "index_topk": 2048,
        "num_nextn_predict_layers": 1, "max_position_embeddings": 202752, "rms_norm_eps": 1e-05,
        "rope_parameters": { "rope_type": "default", "rope_theta": 1000000 }, "tie_word_embeddings": false,
        "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "Kimi-K2", ["Kimi-K2-Instruct-0905", "Kimi-K2-Base"],
      """
      {
        "architectures": ["DeepseekV3ForCausalLM"], "model_type": "kimi_k2",
        "hidden_size": 7168, "intermediate_size": 18432, "num_hidden_layers": 61, "num_attention_heads": 64,
        "num_key_value_heads": 64, "vocab_size": 163840, "q_lora_rank": 1536, "kv_lora_rank": 512,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "first_k_dense_replace": 1,
        "moe_intermediate_size": 2048, "n_routed_experts": 384, "n_shared_experts": 1, "num_experts_per_tok": 8,
        "n_group": 1, "topk_group": 1, "topk_method": "noaux_tc", "scoring_func": "sigmoid", "norm_topk_prob": true,
        "routed_scaling_factor": 2.827, "num_nextn_predict_layers": 0, "max_position_embeddings": 262144,
        "rms_norm_eps": 1e-06, "rope_theta": 50000,
        "rope_scaling": {
          "type": "yarn", "factor": 64, "original_max_position_embeddings": 4096, "beta_fast": 1, "beta_slow": 1,
          "mscale": 1.0, "mscale_all_dim": 1.0
        },
        "quantization_config": {
          "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]
        },
        "hidden_act": "silu", "attention_bias": false, "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "MiniMax-M2", ["MiniMax-M2.1", "MiniMax-M2.5", "MiniMax-M2.7"],
      """
      {
        "architectures": ["MiniMaxM2ForCausalLM"], "model_type": "minimax_m2",
        "hidden_size": 3072, "intermediate_size": 1536, "num_hidden_layers": 62, "num_attention_heads": 48,
        "num_key_value_heads": 8, "head_dim": 128, "rotary_dim": 64, "vocab_size": 200064, "num_local_experts": 256,
        "num_experts_per_tok": 8, "scoring_func": "sigmoid", "use_qk_norm": true, "qk_norm_type": "per_layer",
        "use_routing_bias": true, "max_position_embeddings": 196608, "rms_norm_eps": 1e-06, "rope_theta": 5000000,
        "quantization_config": {
          "quant_method": "fp8", "fmt": "float8_e4m3fn", "activation_scheme": "dynamic",
          "weight_block_size": [128, 128]
        },
        "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "Hy3", ["Hy3-preview", "Hunyuan-3"],
      """
      {
        "architectures": ["HYV3ForCausalLM"], "model_type": "hy_v3",
        "hidden_size": 4096, "intermediate_size": 13312, "num_hidden_layers": 80, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 120832, "num_experts": 192, "num_experts_per_tok": 8,
        "moe_intermediate_size": 1536, "num_shared_experts": 1, "router_scaling_factor": 2.826,
        "num_nextn_predict_layers": 1, "max_position_embeddings": 131072, "rms_norm_eps": 1e-05,
        "rope_parameters": { "rope_type": "default", "rope_theta": 11158840.0 }, "tie_word_embeddings": false,
        "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "ERNIE-4.5-21B-A3B", ["ERNIE-4.5-21B-A3B-PT", "ERNIE-4.5-21B-A3B-Thinking"],
      """
      {
        "architectures": ["Ernie4_5_MoeForCausalLM"], "model_type": "ernie4_5_moe",
        "hidden_size": 2560, "intermediate_size": 12288, "num_hidden_layers": 28, "num_attention_heads": 20,
        "num_key_value_heads": 4, "vocab_size": 103424, "moe_num_experts": 64, "moe_k": 6,
        "moe_intermediate_size": 1536, "moe_num_shared_experts": 2, "moe_layer_start_index": 1,
        "moe_layer_end_index": 27, "moe_layer_interval": 1, "use_bias": false, "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-05, "rope_theta": 500000, "tie_word_embeddings": true, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "Qwen3-VL-30B-A3B", ["Qwen3-VL-30B-A3B-Thinking"],
      """
      {
        "architectures": ["Qwen3VLMoeForConditionalGeneration"], "tie_word_embeddings": false,
        "text_config": {
          "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 48, "num_attention_heads": 32,
          "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8,
          "moe_intermediate_size": 768, "norm_topk_prob": true, "vocab_size": 151936,
          "max_position_embeddings": 262144, "rms_norm_eps": 1e-06, "rope_theta": 5000000,
          "rope_scaling": { "rope_type": "default", "mrope_section": [24, 20, 20], "mrope_interleaved": true },
          "dtype": "bfloat16"
        },
        "vision_config": { "deepstack_visual_indexes": [8, 16, 24] }
      }
      """),
  ]

  private static func glm(_ name: String, _ aliases: [String], _ more: String) -> KnownShape {
    KnownShape(
      name, aliases,
      """
      {
        "architectures": ["Glm4MoeForCausalLM"], "model_type": "glm4_moe", \(more),
        "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151552,
        "attention_bias": true, "partial_rotary_factor": 0.5, "num_experts_per_tok": 8, "n_shared_experts": 1,
        "n_group": 1, "topk_group": 1, "norm_topk_prob": true, "num_nextn_predict_layers": 1,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 1000000,
        "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """)
  }
}
