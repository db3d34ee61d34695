import Checkpoint
import Files
import Foundation
import GGUF
import TestSupport
import Testing

/// The keys of config.json that each architecture honours, refuses, ignores and lists as unknown.
@Suite struct ConfigKeysTests {
  private static let (architectures, dense) = (SmallConfig.architectures, SmallConfig.dense)
  private static let (mixtures, latents) = (SmallConfig.mixtures, SmallConfig.latents)

  /// A key with a value in JSON, and the architectures that refuse it.
  struct Case: Sendable, CustomTestStringConvertible {
    let architectures: [String]
    let key: String
    let json: String
    var testDescription: String { "\(key): \(json)" }

    init(_ architectures: [String], _ key: String, _ json: String) {
      self.architectures = architectures
      self.key = key
      self.json = json
    }

    var object: Any {
      get throws { try JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed) }
    }
  }

  static let refused: [Case] = [
    Case(architectures, "hidden_act", "\"gelu\""), Case(architectures, "hidden_act", "\"relu\""),
    Case(architectures, "hidden_activation", "\"gelu_pytorch_tanh\""),
    Case(architectures, "embedding_multiplier", "12"), Case(architectures, "residual_multiplier", "0.25"),
    Case(architectures, "logits_scaling", "8"), Case(architectures, "attention_multiplier", "0.0078125"),
    Case(architectures, "scale_depth", "1.5"), Case(architectures, "logit_scale", "0.0625"),
    Case(architectures, "final_logit_softcapping", "30"), Case(architectures, "attn_logit_softcapping", "50"),
    Case(architectures, "clip_qkv", "8"), Case(architectures, "use_parallel_residual", "true"),
    Case(architectures, "alibi", "true"), Case(architectures, "is_causal", "false"),
    Case(architectures, "attention_chunk_size", "8192"), Case(architectures, "no_rope_layers", "[1, 0]"),
    Case(architectures, "text_config", "{\"hidden_size\": 32}"), Case(architectures, "norm_type", "\"layernorm\""),
    Case(architectures, "partial_rotary_factor", "0.5"), Case(architectures, "use_bias", "true"),
    Case(architectures.filter { $0 != "Llama" && $0 != "Mistral" }, "mlp_bias", "true"),
    Case(mixtures + latents + ["Qwen3"], "attention_bias", "true"),
    Case(architectures.filter { $0 != "Qwen2" }, "qkv_bias", "true"), Case(["Qwen2"], "qkv_bias", "false"),
    Case(latents + ["Llama", "Mistral", "Mixtral", "Qwen2"], "use_qk_norm", "true"),
    Case(["Qwen3", "Qwen3Moe"], "use_qk_norm", "false"), Case(["Qwen2"], "head_dim", "32"),
    Case(dense, "num_experts", "8"), Case(mixtures, "routed_scaling_factor", "2.5"),
    Case(mixtures, "scoring_func", "\"sigmoid\""), Case(mixtures, "shared_expert_intermediate_size", "64"),
    Case(mixtures, "n_group", "8"), Case(mixtures, "norm_topk_prob", "false"),
    Case(["Qwen3Moe"], "mlp_only_layers", "[0]"), Case(["Qwen3Moe"], "decoder_sparse_step", "2"),
    Case(latents, "moe_layer_freq", "2"), Case(latents, "rope_interleave", "false"),
    Case(latents, "n_shared_experts", "0"), Case(["DeepseekV2"], "scoring_func", "\"sigmoid\""),
    Case(["DeepseekV2"], "norm_topk_prob", "true"), Case(["DeepseekV2"], "topk_method", "\"noaux_tc\""),
    Case(["DeepseekV3"], "scoring_func", "\"softmax\""), Case(["DeepseekV3"], "topk_method", "\"greedy\""),
    Case(["Mistral", "Mixtral"], "sliding_window", "0"),
  ]

  @Test(arguments: refused) func unsupportedValuesAreRefused(_ refused: Case) throws {
    for architecture in refused.architectures {
      let error = try #require(throws: RefusedConfig.self, "\(architecture)") {
        try SmallConfig.model(architecture, [refused.key: try refused.object])
      }
      #expect(error.keys.map(\.name) == [refused.key], "\(architecture)")
      #expect(error.keys.first?.value == refused.json, "\(architecture)")
      // A key that shapes tensors is kept. Any other key counts as missing.
      let review = try SmallConfig.model(architecture, [refused.key: try refused.object], ignoring: [refused.key])
        .configReview
      #expect(review.ignored == error.keys && review.unknown.isEmpty)
    }
  }

  /// Layers with a sliding window: the changes, and the refused key (nil: none).
  static let windows: [(architecture: String, changes: String, key: String?)] = [
    ("Qwen2", "{\"use_sliding_window\": true, \"sliding_window\": 64, \"max_window_layers\": 0}", "use_sliding_window"),
    ("Qwen2", "{\"use_sliding_window\": true, \"sliding_window\": 64, \"max_window_layers\": 3}", "use_sliding_window"),
    ("Qwen2", "{\"use_sliding_window\": true, \"sliding_window\": 64, \"max_window_layers\": 4}", nil),
    ("Qwen2", "{\"use_sliding_window\": true, \"sliding_window\": 64}", nil),
    ("Qwen2", "{\"use_sliding_window\": true, \"sliding_window\": 4096, \"max_window_layers\": 0}", nil),
    ("Qwen2", "{\"use_sliding_window\": true, \"sliding_window\": null, \"max_window_layers\": 0}", nil),
    ("Qwen2", "{\"use_sliding_window\": false, \"sliding_window\": 64, \"max_window_layers\": 0}", nil),
    ("Qwen3", "{\"use_sliding_window\": true, \"sliding_window\": 64, \"max_window_layers\": 1}", "use_sliding_window"),
    ("Qwen3", "{\"layer_types\": [\"full_attention\", \"sliding_attention\"]}", "layer_types"),
    (
      "Qwen3",
      "{\"use_sliding_window\": true, \"sliding_window\": 64, \"max_window_layers\": 0, "
        + "\"layer_types\": [\"full_attention\", \"full_attention\"]}", nil
    ),
    ("Qwen3Moe", "{\"use_sliding_window\": true, \"sliding_window\": 64}", "use_sliding_window"),
    ("Llama", "{\"sliding_window\": 64}", nil), ("Llama", "{\"use_sliding_window\": true}", "use_sliding_window"),
    ("DeepseekV3", "{\"layer_types\": [\"sliding_attention\"]}", "layer_types"),
  ]

  @Test(arguments: windows.indices) func slidingWindowsOfSomeLayers(_ index: Int) throws {
    let (architecture, changes, key) = Self.windows[index]
    let object = try #require(try JSONSerialization.jsonObject(with: Data(changes.utf8)) as? [String: Any])
    guard let key else {
      #expect(try SmallConfig.model(architecture, object).configReview.unknown.isEmpty)
      return
    }
    let error = try #require(throws: RefusedConfig.self) { try SmallConfig.model(architecture, object) }
    #expect(error.keys.map(\.name) == [key])
  }

  /// All layers of the first Mistral have a window of 4,096 positions. Its GGUF records this, and results are exact up
  /// to that length.
  @Test func slidingWindowsOfAllLayersLimitTexts() throws {
    let long: [String: Any?] = ["max_position_embeddings": 32768]
    let key = "llama.attention.sliding_window"
    for (architecture, window, expected) in [
      ("Mistral", 4096, 4096), ("Mistral", 32768, nil), ("Mistral", NSNull(), nil), ("Mistral", nil, 4096),
      ("Mixtral", 64, 64), ("Mixtral", nil, nil), ("Llama", 4096, nil),
    ] as [(String, Any?, Int?)] {
      let model = try SmallConfig.model(architecture, long.merging(["sliding_window": window]) { $1 })
      #expect(model.configReview.window == expected, "\(architecture) \(String(describing: window))")
      #expect(model.metadata[key] == expected.map { .uint32(UInt32($0)) })
    }
    let changes = long.merging(["sliding_window": 4096]) { $1 }
    let ignoring = try SmallConfig.model("Mistral", changes, ignoring: ["sliding_window"])
    #expect(ignoring.configReview.window == nil && ignoring.metadata[key] == nil)
    #expect(ignoring.configReview.ignored.map(\.value) == ["4096"])
  }

  /// A missing key has the default of the architecture's configuration class.
  @Test func absentKeys() throws {
    let error = try #require(throws: RefusedConfig.self) { try SmallConfig.model("Qwen3Moe", ["norm_topk_prob": nil]) }
    #expect(error.keys.map(\.name) == ["norm_topk_prob"])
    #expect(error.keys.first?.value == "absent, which means false")
    _ = try SmallConfig.model("Qwen3Moe", ["norm_topk_prob": nil], ignoring: ["norm_topk_prob"])
    #expect(try SmallConfig.metadata("Mixtral")["llama.rope.freq_base"] == .float32(1e6))
    #expect(try SmallConfig.metadata("Llama")["llama.rope.freq_base"] == .float32(1e4))
    let heads: [String: Any?] = ["num_key_value_heads": nil, "num_attention_heads": 32]
    let none: [String: Any?] = ["num_key_value_heads": NSNull(), "num_attention_heads": 32]
    for (architecture, gguf, count) in [
      ("Llama", "llama", 32), ("Mistral", "llama", 8), ("Mixtral", "llama", 8), ("Qwen2", "qwen2", 32),
      ("Qwen3Moe", "qwen3moe", 4),
    ] {
      let key = "\(gguf).attention.head_count_kv"
      #expect(try SmallConfig.metadata(architecture, heads)[key] == .uint32(UInt32(count)), "\(architecture)")
      #expect(try SmallConfig.metadata(architecture, none)[key] == .uint32(32), "\(architecture)")
    }
    let three = try SmallConfig.metadata("DeepseekV3")
    for (key, value) in [
      ("expert_group_count", 8), ("expert_group_used_count", 4), ("leading_dense_block_count", 3),
      ("expert_shared_count", 1), ("expert_gating_func", 2),
    ] {
      #expect(three["deepseek2." + key] == .uint32(UInt32(value)), "\(key)")
    }
    #expect(three["deepseek2.expert_weights_scale"] == .float32(2.5))
    #expect(three["deepseek2.expert_weights_norm"] == .bool(true))
    let two = try SmallConfig.metadata("DeepseekV2")
    #expect(two["deepseek2.expert_weights_scale"] == .float32(1) && two["deepseek2.expert_weights_norm"] == nil)
    #expect(two["deepseek2.expert_shared_count"] == .uint32(2))
  }

  /// If the router's method has no groups, the GGUF must not have any: its readers don't know the method.
  @Test func groupsOfAGreedyRouter() throws {
    for (method, count) in [("greedy", nil), ("group_limited_greedy", 4)] as [(String, UInt32?)] {
      let metadata = try SmallConfig.metadata("DeepseekV2", ["topk_method": method, "n_group": 4, "topk_group": 2])
      #expect(metadata["deepseek2.expert_group_count"] == count.map { .uint32($0) })
    }
  }

  /// A value of the wrong kind is not treated as missing.
  @Test func valuesOfAnotherKind() throws {
    for (key, value) in [("rope_theta", "5e5"), ("rope_theta", -1), ("original_max_position_embeddings", "4k")]
      as [(String, Any)]
    {
      let error = try #require(throws: FormatError.self) { try SmallConfig.model("Llama", [key: value]) }
      #expect(error.subject == "key \(key)")
    }
    for key in ["factor", "attention_factor", "mscale"] {
      let yarn: [String: Any] = ["type": "yarn", "factor": 4, "mscale_all_dim": 1]
      let error = try #require(throws: FormatError.self) {
        try SmallConfig.model("Qwen2", ["rope_scaling": yarn.merging([key: "2"]) { $1 }])
      }
      #expect(error.subject == "key rope_scaling.\(key)")
    }
    for (architecture, key, value) in [
      ("DeepseekV3", "norm_topk_prob", 1), ("Qwen3Moe", "norm_topk_prob", 1),
      ("Llama", "layer_types", "sliding_attention"),
      ("Qwen3", "layer_types", "sliding_attention"), ("Qwen3Moe", "use_sliding_window", 1),
    ] as [(String, String, Any)] {
      let error = try #require(throws: FormatError.self) {
        try SmallConfig.model(architecture, [key: value, "sliding_window": 64])
      }
      #expect(error.subject == "key \(key)", "\(architecture)")
    }
    // A false value has no effect.
    _ = try SmallConfig.model(
      "Llama", ["final_logit_softcapping": 0, "num_kv_shared_layers": 0, "alibi": false, "no_rope_layers": []])
  }

  @Test func unknownKeysAreListed() throws {
    let review = try SmallConfig.model(
      "Llama",
      [
        "zeta": 1, "alpha": ["b": 2], "nothing": NSNull(), "_private": 3, "use_cache": true, "attention_dropout": 0.1,
        "pretraining_tp": 2, "rope_scaling": ["type": "linear", "factor": 2, "sharpness": 1],
      ]
    ).configReview
    #expect(review.unknown == ["alpha", "rope_scaling.sharpness", "zeta"])
    #expect(review.path == "config.json" && review.ignored.isEmpty)
  }

  @Test func ignoringSupportedKeysIsRefused() throws {
    for key in ["hidden_act", "rope_scaling", "nothing"] {
      let error = try #require(throws: UnneededIgnoring.self) {
        try SmallConfig.model("Llama", ["clip_qkv": 8, "alibi": true], ignoring: ["alibi", key])
      }
      #expect(error.key == key && Set(error.refused) == ["clip_qkv", "alibi"])
    }
  }

  /// Published configurations have no unknown and no refused keys.
  @Test(arguments: [
    "Llama-3.1-405B", "Llama-3.3-70B", "Qwen2.5-72B", "Qwen2.5-Coder-32B", "Midnight-Miqu-103B", "Mistral-Large-2407",
    "DeepSeek-Coder-V2", "DeepSeek-R1", "Mixtral-8x7B", "Qwen3-30B-A3B", "Qwen3-8B", "Gemma-3-4B",
    "Gemma-3-12B", "Gemma-3-27B", "Gemma-4-31B", "Gemma-4-26B-A4B", "Gemma-4-E2B",
  ])
  func publishedConfigurations(name: String) throws {
    let review = try ModelShapesTests.shapes(name).configReview
    #expect(review.unknown.isEmpty && review.ignored.isEmpty && review.window == nil)
  }
}
