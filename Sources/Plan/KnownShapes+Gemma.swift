extension KnownShape {
  /// Google's Gemma 3 and 4.
  static let gemma: [KnownShape] = [
    gemma3(
      "Gemma-3-270M", layers: 18, width: 640, feedForward: 2048, heads: 4, keyHeads: 1, head: 256, score: 256,
      isAlone: true),
    gemma3(
      "Gemma-3-1B", layers: 26, width: 1152, feedForward: 6912, heads: 4, keyHeads: 1, head: 256, score: 256,
      isAlone: true),
    gemma3("Gemma-3-4B", layers: 34, width: 2560, feedForward: 10240, heads: 8, keyHeads: 4, head: 256, score: 256),
    gemma3("Gemma-3-12B", layers: 48, width: 3840, feedForward: 15360, heads: 16, keyHeads: 8, head: 256, score: 256),
    gemma3("Gemma-3-27B", layers: 62, width: 5376, feedForward: 21504, heads: 32, keyHeads: 16, head: 128, score: 168),
    gemma4(
      "Gemma-4-31B",
      """
      "hidden_size": 5376, "intermediate_size": 21504, "num_hidden_layers": 60, "num_attention_heads": 32,
      "num_key_value_heads": 16, "num_global_key_value_heads": 4, "attention_k_eq_v": true, "sliding_window": 1024,
      "max_position_embeddings": 262144, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0
      """),
    gemma4(
      "Gemma-4-12B", architecture: "Gemma4UnifiedForConditionalGeneration",
      """
      "hidden_size": 3840, "intermediate_size": 15360, "num_hidden_layers": 48, "num_attention_heads": 16,
      "num_key_value_heads": 8, "num_global_key_value_heads": 1, "attention_k_eq_v": true, "sliding_window": 1024,
      "max_position_embeddings": 262144
      """),
    gemma4(
      "Gemma-4-26B-A4B",
      """
      "hidden_size": 2816, "intermediate_size": 2112, "num_hidden_layers": 30, "num_attention_heads": 16,
      "num_key_value_heads": 8, "num_global_key_value_heads": 2, "attention_k_eq_v": true, "sliding_window": 1024,
      "max_position_embeddings": 262144, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0,
      "enable_moe_block": true, "num_experts": 128, "top_k_experts": 8, "moe_intermediate_size": 704
      """),
    gemma4(
      "Gemma-4-E4B",
      """
      "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 42, "num_attention_heads": 8,
      "num_key_value_heads": 2, "sliding_window": 512, "max_position_embeddings": 131072,
      "hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 262144, "num_kv_shared_layers": 18
      """),
    gemma4(
      "Gemma-4-E2B",
      """
      "hidden_size": 1536, "intermediate_size": 6144, "num_hidden_layers": 35, "num_attention_heads": 8,
      "num_key_value_heads": 1, "sliding_window": 512, "max_position_embeddings": 131072,
      "hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 262144, "num_kv_shared_layers": 20,
      "use_double_wide_mlp": true, "layer_types": [\(kinds(layers: 35, period: 5))]
      """),
  ]

  private static func gemma3(
    _ name: String, layers: Int, width: Int, feedForward: Int, heads: Int, keyHeads: Int, head: Int, score: Int,
    isAlone: Bool = false
  ) -> KnownShape {
    KnownShape(
      name, [name + "-it"],
      """
      {
        "architectures": ["Gemma3For\(isAlone ? "CausalLM" : "ConditionalGeneration")"], "model_type": "gemma3",
        "hidden_size": \(width), "intermediate_size": \(feedForward), "num_hidden_layers": \(layers),
        "num_attention_heads": \(heads), "num_key_value_heads": \(keyHeads), "head_dim": \(head),
        "query_pre_attn_scalar": \(score), "sliding_window": \(isAlone ? 512 : 1024),
        "vocab_size": \(isAlone ? 262144 : 262208), "max_position_embeddings": \(isAlone ? 32768 : 131072),
        "rope_scaling": \(isAlone ? "null" : #"{"rope_type": "linear", "factor": 8.0}"#),
        "torch_dtype": "bfloat16"
      }
      """)
  }

  private static func gemma4(
    _ name: String, architecture: String = "Gemma4ForConditionalGeneration", _ shape: String
  ) -> KnownShape {
    KnownShape(
      name, [name + "-it"],
      """
      {
        "architectures": ["\(architecture)"], "model_type": "gemma4", \(shape),
        "head_dim": 256, "global_head_dim": 512, "vocab_size": 262144, "final_logit_softcapping": 30.0,
        "torch_dtype": "bfloat16"
      }
      """)
  }

  /// The last layer of every period has full attention.
  private static func kinds(layers: Int, period: Int) -> String {
    (1...layers).map { $0 % period == 0 ? #""full_attention""# : #""sliding_attention""# }.joined(separator: ", ")
  }
}
