extension KnownShape {
  /// Qwen 3.5 to 3.8, and Qwen 3 Next.
  static let qwen: [KnownShape] = [
    dense(
      "Qwen3.5-0.8B", layers: 24, width: 1024, feedForward: 3584, heads: (8, 2), valueHeads: 16, isTied: true),
    dense("Qwen3.5-2B", layers: 24, width: 2048, feedForward: 6144, heads: (8, 2), valueHeads: 16, isTied: true),
    dense("Qwen3.5-4B", layers: 32, width: 2560, feedForward: 9216, heads: (16, 4), valueHeads: 32, isTied: true),
    dense("Qwen3.5-9B", layers: 32, width: 4096, feedForward: 12288, heads: (16, 4), valueHeads: 32, isTied: false),
    dense(
      "Qwen3.5-27B", ["Qwen3.6-27B", "Qwen3.8-27B"], layers: 64, width: 5120, feedForward: 17408, heads: (24, 4),
      valueHeads: 48, isTied: false),
    experts(
      "Qwen3.5-35B-A3B", ["Qwen3.6-35B-A3B"], layers: 40, width: 2048, heads: 16, valueHeads: 32, experts: (256, 8),
      length: 512),
    experts(
      "Qwen3.5-122B-A10B", [], layers: 48, width: 3072, heads: 32, valueHeads: 64, experts: (256, 8), length: 1024),
    experts(
      "Qwen3.5-397B-A17B", [], layers: 60, width: 4096, heads: 32, valueHeads: 64, experts: (512, 10), length: 1024),
    KnownShape(
      "Qwen3-Next-80B-A3B", ["Qwen3-Next-80B-A3B-Thinking", "Qwen3-Coder-Next"],
      """
      {
        "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next",
        "hidden_size": 2048, "intermediate_size": 5120, "num_hidden_layers": 48, "num_attention_heads": 16,
        "num_key_value_heads": 2, "head_dim": 256, "partial_rotary_factor": 0.25, "rope_theta": 10000000,
        "full_attention_interval": 4, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
        "linear_value_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
        "num_experts": 512, "num_experts_per_tok": 10, "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512, "norm_topk_prob": true, "vocab_size": 151936,
        "max_position_embeddings": 262144, "rms_norm_eps": 1e-06, "tie_word_embeddings": false,
        "torch_dtype": "bfloat16"
      }
      """),
  ]

  private static func dense(
    _ name: String, _ aliases: [String] = [], layers: Int, width: Int, feedForward: Int, heads: (Int, Int),
    valueHeads: Int, isTied: Bool
  ) -> KnownShape {
    KnownShape(
      name, aliases,
      common(
        "Qwen3_5ForConditionalGeneration", layers: layers, width: width, heads: heads, valueHeads: valueHeads,
        isTied: isTied, "\"intermediate_size\": \(feedForward)"))
  }

  private static func experts(
    _ name: String, _ aliases: [String], layers: Int, width: Int, heads: Int, valueHeads: Int,
    experts: (count: Int, used: Int), length: Int
  ) -> KnownShape {
    KnownShape(
      name, aliases,
      common(
        "Qwen3_5MoeForConditionalGeneration", layers: layers, width: width, heads: (heads, 2), valueHeads: valueHeads,
        isTied: false,
        """
        "num_experts": \(experts.count), "num_experts_per_tok": \(experts.used), "moe_intermediate_size": \(length),
          "shared_expert_intermediate_size": \(length)
        """))
  }

  private static func common(
    _ architecture: String, layers: Int, width: Int, heads: (Int, Int), valueHeads: Int, isTied: Bool, _ more: String
  ) -> String {
    """
    {
      "architectures": ["\(architecture)"], "tie_word_embeddings": \(isTied),
      "text_config": {
        "hidden_size": \(width), "num_hidden_layers": \(layers), "num_attention_heads": \(heads.0),
        "num_key_value_heads": \(heads.1), "head_dim": 256, "full_attention_interval": 4,
        "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
        "linear_num_key_heads": 16, "linear_num_value_heads": \(valueHeads), \(more),
        "mtp_num_hidden_layers": 1, "vocab_size": 248320, "max_position_embeddings": 262144, "rms_norm_eps": 1e-06,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000000, "partial_rotary_factor": 0.25},
        "dtype": "bfloat16"
      }
    }
    """
  }
}
