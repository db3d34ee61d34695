extension KnownShape {
  /// Dense models: Mistral Small 3 and Ministral 3, Seed-OSS, Phi 4, SmolLM3, OLMo 3, Granite 3, Muse Glimmer.
  static let dense: [KnownShape] = [
    KnownShape(
      "Mistral-Small-3.2-24B", ["Mistral-Small-3.1-24B", "Mistral-Small-3.2-24B-Instruct-2506"],
      """
      {
        "architectures": ["Mistral3ForConditionalGeneration"], "tie_word_embeddings": false,
        "text_config": {
          "model_type": "mistral", "hidden_size": 5120, "intermediate_size": 32768, "num_hidden_layers": 40,
          "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072,
          "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "rope_theta": 1000000000.0,
          "sliding_window": null, "dtype": "bfloat16"
        }
      }
      """),
    ministral("Ministral-3-3B", width: 3072, feedForward: 9216, layers: 26, isTied: true),
    ministral("Ministral-3-8B", width: 4096, feedForward: 14336, layers: 34, isTied: false),
    ministral("Ministral-3-14B", width: 5120, feedForward: 16384, layers: 40, isTied: false),
    KnownShape(
      "Seed-OSS-36B", ["Seed-OSS-36B-Instruct", "Seed-OSS-36B-Base"],
      """
      {
        "architectures": ["SeedOssForCausalLM"], "model_type": "seed_oss",
        "hidden_size": 5120, "intermediate_size": 27648, "num_hidden_layers": 64, "num_attention_heads": 80,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 155136, "attention_bias": true,
        "attention_out_bias": false, "mlp_bias": false, "max_position_embeddings": 524288, "rms_norm_eps": 1e-06,
        "rope_theta": 10000000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "Phi-4", ["Phi-4-reasoning"],
      """
      {
        "architectures": ["Phi3ForCausalLM"], "model_type": "phi3",
        "hidden_size": 5120, "intermediate_size": 17920, "num_hidden_layers": 40, "num_attention_heads": 40,
        "num_key_value_heads": 10, "vocab_size": 100352, "max_position_embeddings": 16384,
        "original_max_position_embeddings": 16384, "rms_norm_eps": 1e-05, "rope_theta": 250000,
        "sliding_window": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "SmolLM3-3B", [],
      """
      {
        "architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3",
        "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
        "num_key_value_heads": 4, "vocab_size": 128256, "no_rope_layer_interval": 4, "attention_bias": false,
        "mlp_bias": false, "max_position_embeddings": 65536, "rms_norm_eps": 1e-06, "rope_theta": 5000000.0,
        "tie_word_embeddings": true, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "Olmo-3-7B", ["Olmo-3-7B-Instruct", "Olmo-3-7B-Think", "Olmo-3-1025-7B"],
      """
      {
        "architectures": ["Olmo3ForCausalLM"], "model_type": "olmo3",
        "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "vocab_size": 100278, "sliding_window": 4096, "attention_bias": false,
        "max_position_embeddings": 65536, "rms_norm_eps": 1e-06,
        "rope_parameters": {
          "full_attention": {
            "rope_type": "yarn", "rope_theta": 500000, "factor": 8.0, "beta_fast": 32.0, "beta_slow": 1.0,
            "original_max_position_embeddings": 8192
          },
          "sliding_attention": { "rope_type": "default", "rope_theta": 500000 }
        },
        "tie_word_embeddings": false, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "Granite-3.3-8B", ["Granite-3.3-8B-Instruct", "Granite-3.3-8B-Base"],
      """
      {
        "architectures": ["GraniteForCausalLM"], "model_type": "granite",
        "hidden_size": 4096, "intermediate_size": 12800, "num_hidden_layers": 40, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 49159, "embedding_multiplier": 12.0, "residual_multiplier": 0.22,
        "attention_multiplier": 0.0078125, "logits_scaling": 16.0, "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-05, "rope_theta": 10000000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16"
      }
      """),
    KnownShape(
      "Muse-Glimmer-30B", [],
      """
      {
        "architectures": ["MuseGlimmerForConditionalGeneration"], "tie_word_embeddings": false,
        "text_config": {
          "hidden_size": 6656, "intermediate_size": 19968, "num_hidden_layers": 52, "num_attention_heads": 32,
          "num_key_value_heads": 2, "head_dim": 128, "vocab_size": 202048, "sliding_window": 2048,
          "max_position_embeddings": 131072, "rms_norm_eps": 1e-05, "post_norm_eps": 1e-08,
          "rope_parameters": { "rope_type": "default", "rope_theta": 500000 }, "dtype": "bfloat16"
        }
      }
      """),
  ]

  private static func ministral(
    _ name: String, width: Int, feedForward: Int, layers: Int, isTied: Bool
  ) -> KnownShape {
    KnownShape(
      name, ["\(name)-Instruct-2512", "\(name)-Reasoning-2512"],
      """
      {
        "architectures": ["Mistral3ForConditionalGeneration"], "tie_word_embeddings": \(isTied),
        "text_config": {
          "model_type": "ministral3", "hidden_size": \(width), "intermediate_size": \(feedForward),
          "num_hidden_layers": \(layers), "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
          "vocab_size": 131072, "max_position_embeddings": 262144, "rms_norm_eps": 1e-05, "sliding_window": null,
          "tie_word_embeddings": \(isTied),
          "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 1000000.0, "factor": 16.0, "original_max_position_embeddings": 16384,
            "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1
          },
          "dtype": "bfloat16"
        }
      }
      """)
  }
}
