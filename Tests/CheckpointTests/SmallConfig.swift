import Checkpoint
import Foundation
import GGUF
import Testing

/// Small configurations of the first architectures, with changed keys.
enum SmallConfig {
  private static let common = """
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 128, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6
    """
  private static let latent = """
    "num_key_value_heads": 4, "q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
    "v_head_dim": 16, "n_routed_experts": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 32
    """
  private static let experts = "\"num_local_experts\": 8, \"num_experts_per_tok\": 2"
  private static let specific = [
    "Llama": "", "Mistral": "\"sliding_window\": null", "Mixtral": experts, "Qwen2": "", "Qwen3": "\"head_dim\": 16",
    "Qwen3Moe": experts + ", \"moe_intermediate_size\": 32, \"norm_topk_prob\": true", "DeepseekV2": latent,
    "DeepseekV3": latent,
  ]
  static let architectures = specific.keys.sorted()

  private static func object(_ fields: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data("{\(fields)}".utf8)) as? [String: Any])
  }

  /// The shapes of a small model. A nil in `changes` removes a key.
  static func model(
    _ architecture: String, _ changes: [String: Any?] = [:], ignoring: [String] = []
  ) throws -> ModelShapes {
    var config = try object(common).merging(object(specific[architecture]!)) { $1 }
    config["architectures"] = ["\(architecture)ForCausalLM"]
    for (key, value) in changes { config[key] = value }
    let text = String(decoding: try JSONSerialization.data(withJSONObject: config), as: UTF8.self)
    return try ModelShapes(configuration: text, name: "config.json", ignoring: ignoring)
  }

  static func metadata(_ architecture: String, _ changes: [String: Any?] = [:]) throws -> Metadata {
    try model(architecture, changes).metadata
  }

  static let dense = ["Llama", "Mistral", "Qwen2", "Qwen3"]
  static let mixtures = ["Mixtral", "Qwen3Moe"]
  static let latents = ["DeepseekV2", "DeepseekV3"]
}
