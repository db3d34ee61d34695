import Checkpoint
import Files
import Foundation
import GGUF
import TestSupport
import Testing

/// Values of config.json that no model can have, or that contradict each other: the message names key and value.
@Suite struct ConfigValuesTests {
  /// The shapes of a published model with changed keys, in its `text_config` if it has one.
  private func shapes(
    _ name: String, _ changes: [String: Any?], ignoring: [String] = []
  ) throws -> ModelShapes {
    let url = Repository.root.appending(path: "Tests/CheckpointTests/Fixtures/configs/\(name).json")
    var whole = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
    if var text = whole["text_config"] as? [String: Any], changes["text_config"] == nil {
      for (key, value) in changes { text[key] = value }
      whole["text_config"] = text
    } else {
      for (key, value) in changes { whole[key] = value }
    }
    let config = String(decoding: try JSONSerialization.data(withJSONObject: whole), as: UTF8.self)
    return try ModelShapes(configuration: config, name: "config.json", ignoring: ignoring)
  }

  private func value(_ json: String) throws -> Any {
    try JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed)
  }

  /// A model, a key, its value, and the message about both.
  struct Case: Sendable, CustomTestStringConvertible {
    let model: String
    let key: String
    let json: String
    let message: String
    var testDescription: String { "\(model) \(key): \(json)" }

    init(_ model: String, _ key: String, _ json: String, _ message: String) {
      (self.model, self.key, self.json, self.message) = (model, key, json, message)
    }
  }

  static let kinds = [
    Case(
      "gpt-oss-20b", "layer_types", #""sliding_attention""#, #"key layer_types: is "sliding_attention", not a list"#),
    Case("Gemma-3-4B", "layer_types", #""sliding_attention""#, #"key layer_types: is "sliding_attention", not a list"#),
    Case("Qwen3.5-397B-A17B", "layer_types", #""full_attention""#, #"layer_types: is "full_attention", not a list"#),
    Case(
      "Gemma-3-4B", "text_config", #""text_config.json""#, #"key text_config: is "text_config.json", not an object"#),
    Case("Llama-3.3-70B", "tie_word_embeddings", #""true""#, #"key tie_word_embeddings: is "true", not true or false"#),
    Case("Gemma-4-E2B", "attention_k_eq_v", "1", "key attention_k_eq_v: is 1, not true or false"),
    Case("Gemma-4-E2B", "final_logit_softcapping", #""30""#, #"key final_logit_softcapping: is "30", not a number"#),
    Case("Qwen2.5-72B", "max_window_layers", #""28""#, #"key max_window_layers: is "28", not an integer"#),
    Case("DeepSeek-R1", "quantization_config", #""fp8""#, #"key quantization_config: is "fp8", not an object"#),
    Case("Qwen3-8B", "rope_scaling", #""yarn""#, #"key rope_scaling: is "yarn", not an object"#),
    Case("Qwen3-8B", "rope_parameters", #"{"rope_type": 3}"#, "key rope_parameters.rope_type: is 3, not a string"),
    Case("Qwen3-8B", "hidden_size", #""4096""#, #"key hidden_size: is "4096", not a positive integer"#),
    Case(
      "Qwen3-8B", "rope_parameters", #"{"full_attention": "default"}"#,
      #"key rope_parameters.full_attention: is "default", not an object"#),
  ]

  static let impossible = [
    Case("Llama-3.3-70B", "rms_norm_eps", "-1e-5", "key rms_norm_eps: is -1e-05, not a positive number"),
    Case("Qwen3.5-397B-A17B", "rms_norm_eps", "0", "key rms_norm_eps: is 0, not a positive number"),
    Case("Gemma-3-4B", "final_logit_softcapping", "-30", "key final_logit_softcapping: is -30, not a positive number"),
    Case("Gemma-3-4B", "sliding_window", "0", "key sliding_window: is 0, not a positive integer"),
    Case("Gemma-4-E2B", "sliding_window", "-512", "key sliding_window: is -512, not a positive integer"),
    Case("gpt-oss-20b", "sliding_window", "0", "key sliding_window: is 0; a GGUF of gpt-oss has a window"),
    Case("Qwen3-8B", "head_dim", "127", "key head_dim: means heads of 127 elements, an odd number"),
    Case("DeepSeek-R1", "qk_rope_head_dim", "63", "key qk_rope_head_dim: is 63, an odd number"),
    Case(
      "Qwen3.5-397B-A17B", "rope_parameters", #"{"rope_theta": 1e7, "mrope_section": [11, 11, 11]}"#,
      "key rope_parameters.mrope_section: is [11, 11, 11], which does not add up to the 32 rotated pairs of a head"),
    Case(
      "Qwen3-8B", "eos_token_id", "[151645, 151936]",
      "key eos_token_id: is 151936; the vocabulary has the tokens 0 to 151935"),
    Case("Gemma-3-4B", "pad_token_id", "-2", "key pad_token_id: is -2; the vocabulary has the tokens 0 to 262207"),
    Case("gpt-oss-20b", "bos_token_id", "201088", "key bos_token_id: is 201088; the vocabulary"),
  ]

  static let contradicting = [
    Case(
      "gpt-oss-20b", "rope_parameters", #"{"rope_type": "yarn", "factor": 32.0, "rope_theta": 1e4}"#,
      "key rope_parameters: is {"),
    Case(
      "Llama-3.3-70B", "rope_scaling",
      #"{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "rope_theta": 1e4}"#,
      "key rope_theta: is 500000; rope_scaling.rope_theta is 10000"),
    Case("gpt-oss-20b", "experts_per_token", "8", "key experts_per_token: is 8; num_experts_per_tok is 4"),
    Case("gpt-oss-20b", "num_experts", "64", "key num_local_experts: is 32; num_experts is 64"),
    Case("gpt-oss-20b", "initial_context_length", "8192", "key initial_context_length: is 8192; rope_scaling."),
    Case(
      "Gemma-4-E2B", "rope_local_base_freq", "500",
      "key rope_local_base_freq: is 500; rope_parameters.sliding_attention.rope_theta is 10000"),
    Case("Gemma-4-E2B", "rope_theta", "5e5", "key rope_theta: is 500000; rope_parameters.full_attention.rope_theta is"),
    Case(
      "Qwen3.5-397B-A17B", "full_attention_interval", "3",
      #"key full_attention_interval: is 3; layer_types has "linear_attention" in layer 2"#),
  ]

  @Test(arguments: kinds + impossible + contradicting) func refusedByKeyAndValue(_ refused: Case) throws {
    let error = #expect(throws: (any Error).self) {
      _ = try shapes(refused.model, [refused.key: try value(refused.json)])
    }
    #expect("\(try #require(error))".contains(refused.message), "\(String(describing: error))")
  }

  /// The same numbers under several names, and values that mean nothing.
  @Test(arguments: [
    ("gpt-oss-20b", "experts_per_token", "4"), ("gpt-oss-20b", "num_experts", "32"),
    ("gpt-oss-20b", "initial_context_length", "4096"), ("Gemma-4-E2B", "rope_local_base_freq", "10000"),
    ("Gemma-4-E2B", "rope_theta", "1000000"), ("Qwen3.5-397B-A17B", "full_attention_interval", "4"),
    ("Gemma-3-4B", "final_logit_softcapping", "0"), ("Gemma-3-4B", "hidden_act", #""gelu_pytorch_tanh""#),
    ("Gemma-3-4B", "hidden_activation", #""gelu_pytorch_tanh""#), ("Gemma-3-4B", "rope_local_base_freq", "5000"),
    ("Llama-3.3-70B", "pad_token_id", "-1"), ("Llama-3.3-70B", "eos_token_id", "[128001, 128009]"),
  ]) func agreeingValuesAreSilent(model: String, key: String, json: String) throws {
    let review = try shapes(model, [key: try value(json)]).configReview
    #expect(review.ignored.isEmpty && review.unknown.isEmpty, "\(review)")
  }

  /// The activation is named as such, not as one that the model lacks.
  @Test func activationOfGemma() throws {
    let error = try #require(throws: RefusedConfig.self) { try shapes("Gemma-3-4B", ["hidden_act": "silu"]) }
    #expect(error.keys.map(\.name) == ["hidden_act"])
    #expect(error.keys.first?.reason == "a GGUF of gemma3 means \"gelu_pytorch_tanh\"")
  }

  /// An ignored key has no effect, and the other of the two contradicting values is used.
  @Test func oneOfTwoBasesIsIgnored() throws {
    let rope: [String: Any] = ["rope_type": "default", "rope_theta": 5e6]
    let model = try shapes(
      "Qwen3-8B", ["rope_parameters": rope, "rope_theta": 1e6, "rope_scaling": nil], ignoring: ["rope_theta"])
    #expect(model.metadata["qwen3.rope.freq_base"] == .float32(5e6))
    #expect(model.configReview.ignored.map(\.name) == ["rope_theta"])
  }

  /// Weights that convert refuses have no sizes.
  @Test(arguments: [
    (#"{"quant_method": "awq", "bits": 4}"#, "key quantization_config: declares weights packed with AWQ, 4 bits"),
    (
      #"{"quant_method": "bitsandbytes", "load_in_8bit": true}"#,
      "key quantization_config: declares weights packed with bitsandbytes, 8 bits"
    ),
    (#"{"quant_method": "gptq", "bits": 3}"#, "key quantization_config: declares weights packed with GPTQ, 3 bits"),
    (#"{"quant_method": "bitnet"}"#, "key quantization_config.quant_method: is bitnet"),
  ]) func methodsWithoutAReader(json: String, message: String) throws {
    let error = try #require(throws: FormatError.self) {
      try shapes("Llama-3.3-70B", ["quantization_config": try value(json)])
    }
    #expect(error.description.contains(message) && error.hint != nil, "\(error)")
    for method in ["gptq", "fp8", "compressed-tensors", "modelopt"] {
      _ = try shapes("Llama-3.3-70B", ["quantization_config": ["quant_method": method, "bits": 4] as [String: Any]])
    }
  }
}
