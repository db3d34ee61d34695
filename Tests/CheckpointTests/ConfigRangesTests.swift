import Checkpoint
import Files
import Foundation
import GGUF
import TestSupport
import Testing

/// Numbers of config.json that a GGUF can hold but the forward pass can't use: they are refused at opening.
@Suite struct ConfigRangesTests {
  private static let common = """
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 128, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6
    """
  private static let experts = """
    "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "q_lora_rank": 32, "kv_lora_rank": 32,
    "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "n_group": 2, "topk_group": 1
    """
  private static let yarn = #""rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 1024"#

  private func shapes(_ architecture: String, _ fields: String) throws -> ModelShapes {
    var config = try object(Self.common + ", \"architectures\": [\"\(architecture)ForCausalLM\"]")
    if architecture != "Ministral3" { config.merge(try object(Self.experts)) { $1 } }
    config.merge(try object(fields)) { $1 }
    let text = String(decoding: try JSONSerialization.data(withJSONObject: config), as: UTF8.self)
    return try ModelShapes(configuration: text, name: "config.json")
  }

  private func object(_ fields: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data("{\(fields)}".utf8)) as? [String: Any])
  }

  @Test(arguments: [
    ("Ministral3", #""rope_theta": 1e300"#, "key rope_theta: is 1e+300, beyond single precision"),
    ("Ministral3", #""rope_theta": 1e-60"#, "key rope_theta: is 1e-60, not a positive number"),
    (
      "Ministral3", #""rope_parameters": {"rope_type": "linear", "factor": 1e200}"#,
      "key rope_parameters.factor: is 1e+200, beyond single precision"
    ),
    (
      "Ministral3", #""rope_parameters": {\#(yarn), "attention_factor": 1e-50}"#,
      "key rope_parameters: multiplies queries and keys by 1e-50"
    ),
    (
      "Ministral3", #""rope_parameters": {\#(yarn), "beta_fast": 1, "beta_slow": 32}"#,
      "key rope_parameters.beta_fast: is 1.0, below the other bound of YaRN, beta_slow 32.0"
    ),
    (
      "Ministral3", #""rope_parameters": {\#(yarn), "beta_slow": -1}"#,
      "key rope_parameters.beta_slow: is not a positive number"
    ),
    (
      "Ministral3", #""rope_parameters": {\#(yarn), "llama_4_scaling_beta": "a"}"#,
      #"key rope_parameters.llama_4_scaling_beta: is "a", not a number"#
    ),
    ("DeepseekV3", #""n_group": 3"#, "key n_group: is 3, which does not divide 4 experts"),
    ("DeepseekV3", #""n_group": 4"#, "key n_group: is 4, as many groups as experts"),
    ("DeepseekV3", #""n_group": 1, "topk_group": 2"#, "key topk_group: is 2, of 1 group"),
    ("DeepseekV3", #""n_group": 2, "topk_group": 3"#, "key topk_group: is 3, of 2 groups"),
    (
      "DeepseekV3", #""n_group": 2, "topk_group": 1, "num_experts_per_tok": 3"#,
      "key num_experts_per_tok: is 3, but 1 of 2 groups have 2 experts"
    ),
    ("DeepseekV3", #""routed_scaling_factor": 0.0"#, "key routed_scaling_factor: is 0, not a positive number"),
    ("DeepseekV3", #""routed_scaling_factor": 1e300"#, "key routed_scaling_factor: is 1e+300, beyond single precision"),
    ("Glm4Moe", #""n_group": 3"#, "key n_group: is 3, which does not divide 4 experts"),
    ("Glm4Moe", #""n_group": 1, "topk_group": 2"#, "key topk_group: is 2, of 1 group"),
    ("Glm4Moe", #""routed_scaling_factor": 0"#, "key routed_scaling_factor: is 0, not a positive number"),
  ]) func unusableValues(architecture: String, fields: String, message: String) throws {
    let error = #expect(throws: FormatError.self) { try shapes(architecture, fields) }
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
  }

  /// Kimi K2 declares 1 for both bounds; 0 means the default.
  @Test func usableBounds() throws {
    _ = try shapes("DeepseekV3", #""rope_parameters": {\#(Self.yarn), "beta_fast": 1, "beta_slow": 1}"#)
    _ = try shapes("Ministral3", #""rope_parameters": {\#(Self.yarn), "beta_fast": 0, "beta_slow": 0}"#)
  }

  /// Scores that grow with the position need YaRN's length.
  @Test func growthWithoutYarn() throws {
    let error = #expect(throws: RefusedConfig.self) {
      try shapes("Ministral3", #""rope_parameters": {"rope_type": "default", "llama_4_scaling_beta": 0.1}"#)
    }
    #expect(error?.keys.map(\.name) == ["rope_parameters.llama_4_scaling_beta"])
  }
}
