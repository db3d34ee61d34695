import Checkpoint
import Files
import Foundation
import GGUF
import TestSupport
import Testing

/// The keys of config.json that each architecture honours, refuses, ignores and lists as unknown.
@Suite struct ConfigKeysTests {
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

  private func object(_ fields: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data("{\(fields)}".utf8)) as? [String: Any])
  }

  /// The shapes of a small model. A nil in `changes` removes a key.
  private func model(
    _ architecture: String, _ changes: [String: Any?] = [:], ignoring: [String] = []
  ) throws -> ModelShapes {
    var config = try object(Self.common).merging(object(Self.specific[architecture]!)) { $1 }
    config["architectures"] = ["\(architecture)ForCausalLM"]
    for (key, value) in changes { config[key] = value }
    let text = String(decoding: try JSONSerialization.data(withJSONObject: config), as: UTF8.self)
    return try ModelShapes(configuration: text, name: "config.json", ignoring: ignoring)
  }

  private func metadata(_ architecture: String, _ changes: [String: Any?] = [:]) throws -> Metadata {
    try model(architecture, changes).metadata
  }

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

  private static let dense = ["Llama", "Mistral", "Qwen2", "Qwen3"]
  private static let mixtures = ["Mixtral", "Qwen3Moe"]
  private static let latents = ["DeepseekV2", "DeepseekV3"]

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
        try model(architecture, [refused.key: try refused.object])
      }
      #expect(error.keys.map(\.name) == [refused.key], "\(architecture)")
      #expect(error.keys.first?.value == refused.json, "\(architecture)")
      // A key that shapes tensors is kept. Any other key counts as missing.
      let review = try model(architecture, [refused.key: try refused.object], ignoring: [refused.key]).configReview
      #expect(review.ignored == error.keys && review.unknown.isEmpty)
    }
  }

  /// Rotary parameters, the refused key, and its architectures.
  static let rotations: [(parameters: String, key: String, architectures: [String])] = [
    ("{\"type\": \"dynamic\", \"factor\": 2}", "type", architectures),
    ("{\"rope_type\": \"longrope\", \"factor\": 2}", "rope_type", architectures),
    ("{\"type\": \"su\"}", "type", architectures), ("{\"factor\": 2}", "factor", architectures),
    (
      "{\"rope_type\": \"llama3\", \"type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4}",
      "rope_type", latents + ["Qwen2", "Qwen3", "Qwen3Moe"]
    ),
    ("{\"type\": \"yarn\", \"factor\": 4, \"beta_fast\": 16}", "beta_fast", architectures),
    ("{\"type\": \"yarn\", \"factor\": 4, \"beta_slow\": 2}", "beta_slow", architectures),
    ("{\"type\": \"yarn\", \"factor\": 4, \"truncate\": false}", "truncate", architectures),
    ("{\"type\": \"yarn\", \"factor\": 4, \"attn_factor\": 2}", "attn_factor", architectures),
    ("{\"type\": \"yarn\", \"factor\": 4, \"extrapolation_factor\": 0.5}", "extrapolation_factor", architectures),
    ("{\"type\": \"linear\", \"factor\": 4, \"partial_rotary_factor\": 0.5}", "partial_rotary_factor", architectures),
    ("{\"llama_4_scaling_beta\": 0.1}", "llama_4_scaling_beta", architectures),
    ("{\"other_attention\": {\"rope_theta\": 5}}", "other_attention", architectures),
    ("{\"full_attention\": {\"rope_theta\": 5}}", "full_attention", ["Llama", "Qwen3Moe", "DeepseekV3"]),
  ]

  @Test(arguments: rotations.indices) func unsupportedRotationsAreRefused(_ index: Int) throws {
    let (parameters, key, architectures) = Self.rotations[index]
    let object = try JSONSerialization.jsonObject(with: Data(parameters.utf8))
    for (container, architecture) in architectures.flatMap({ [("rope_scaling", $0), ("rope_parameters", $0)] }) {
      let error = try #require(throws: RefusedConfig.self) { try model(architecture, [container: object]) }
      #expect(error.keys.map(\.name) == ["\(container).\(key)"], "\(architecture) \(error)")
      // The key, or all refused keys of the object.
      for name in ["\(container).\(key)", container] {
        let plain = try model(architecture, [container: object, "rope_theta": 1e6], ignoring: [name])
        #expect(plain.configReview.ignored == error.keys)
      }
    }
  }

  /// Kimi K2 declares 1 as YaRN's first bound. It is written, as the converter does; readers take 32 nevertheless.
  @Test func theBoundOfKimiK2() throws {
    let yarn: [String: Any] = [
      "type": "yarn", "factor": 4.0, "beta_fast": 1.0, "beta_slow": 1.0, "original_max_position_embeddings": 32,
    ]
    let kimi = try model("DeepseekV3", ["rope_scaling": yarn])
    #expect(kimi.configReview.replacedBeta == "rope_scaling.beta_fast")
    #expect(kimi.metadata["deepseek2.rope.scaling.yarn_beta_fast"] == .float32(1))
    for architecture in ["DeepseekV2", "Llama"] {
      let error = try #require(throws: RefusedConfig.self) { try model(architecture, ["rope_scaling": yarn]) }
      #expect(error.keys.map(\.name) == ["rope_scaling.beta_fast"])
    }
    let usual = yarn.merging(["beta_fast": 32.0]) { $1 }
    #expect(try model("DeepseekV3", ["rope_scaling": usual]).configReview.replacedBeta == nil)
  }

  /// The `default` rotation, with the base beside or inside the object.
  @Test func anIgnoredTypeLeavesTheBase() throws {
    let dynamic: [String: Any] = ["rope_type": "dynamic", "factor": 4.0, "rope_theta": 5e5]
    let model = try model("Llama", ["rope_parameters": dynamic], ignoring: ["rope_parameters.rope_type"])
    #expect(model.metadata["llama.rope.freq_base"] == .float32(5e5))
    #expect(model.metadata.keys.filter { $0.contains("rope.scaling") }.isEmpty)
  }

  @Test func twoFormsOfRotationThatDiffer() throws {
    let linear: [String: Any] = ["type": "linear", "factor": 4.0]
    let other: [String: Any] = ["rope_type": "linear", "factor": 2.0, "rope_theta": 1e4]
    let both: [String: Any] = ["rope_scaling": linear, "rope_parameters": other]
    let error = try #require(throws: RefusedConfig.self) { try model("Llama", both) }
    #expect(error.keys.map(\.name) == ["rope_parameters"])
    let ignoring = try model("Llama", both, ignoring: ["rope_parameters"])
    #expect(ignoring.metadata["llama.rope.scaling.factor"] == .float32(4))
    let equal: [String: Any] = ["rope_type": "linear", "factor": 4, "rope_theta": 1e4]
    let metadata = try metadata("Llama", ["rope_scaling": linear, "rope_parameters": equal, "rope_theta": 1e4])
    #expect(metadata["llama.rope.scaling.factor"] == .float32(4))
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
      #expect(try model(architecture, object).configReview.unknown.isEmpty)
      return
    }
    let error = try #require(throws: RefusedConfig.self) { try model(architecture, object) }
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
      let model = try model(architecture, long.merging(["sliding_window": window]) { $1 })
      #expect(model.configReview.window == expected, "\(architecture) \(String(describing: window))")
      #expect(model.metadata[key] == expected.map { .uint32(UInt32($0)) })
    }
    let changes = long.merging(["sliding_window": 4096]) { $1 }
    let ignoring = try model("Mistral", changes, ignoring: ["sliding_window"])
    #expect(ignoring.configReview.window == nil && ignoring.metadata[key] == nil)
    #expect(ignoring.configReview.ignored.map(\.value) == ["4096"])
  }

  /// A missing key has the default of the architecture's configuration class.
  @Test func absentKeys() throws {
    let error = try #require(throws: RefusedConfig.self) { try model("Qwen3Moe", ["norm_topk_prob": nil]) }
    #expect(error.keys.map(\.name) == ["norm_topk_prob"])
    #expect(error.keys.first?.value == "absent, which means false")
    _ = try model("Qwen3Moe", ["norm_topk_prob": nil], ignoring: ["norm_topk_prob"])
    #expect(try metadata("Mixtral")["llama.rope.freq_base"] == .float32(1e6))
    #expect(try metadata("Llama")["llama.rope.freq_base"] == .float32(1e4))
    let heads: [String: Any?] = ["num_key_value_heads": nil, "num_attention_heads": 32]
    let none: [String: Any?] = ["num_key_value_heads": NSNull(), "num_attention_heads": 32]
    for (architecture, gguf, count) in [
      ("Llama", "llama", 32), ("Mistral", "llama", 8), ("Mixtral", "llama", 8), ("Qwen2", "qwen2", 32),
      ("Qwen3Moe", "qwen3moe", 4),
    ] {
      let key = "\(gguf).attention.head_count_kv"
      #expect(try metadata(architecture, heads)[key] == .uint32(UInt32(count)), "\(architecture)")
      #expect(try metadata(architecture, none)[key] == .uint32(32), "\(architecture)")
    }
    let three = try metadata("DeepseekV3")
    for (key, value) in [
      ("expert_group_count", 8), ("expert_group_used_count", 4), ("leading_dense_block_count", 3),
      ("expert_shared_count", 1), ("expert_gating_func", 2),
    ] {
      #expect(three["deepseek2." + key] == .uint32(UInt32(value)), "\(key)")
    }
    #expect(three["deepseek2.expert_weights_scale"] == .float32(2.5))
    #expect(three["deepseek2.expert_weights_norm"] == .bool(true))
    let two = try metadata("DeepseekV2")
    #expect(two["deepseek2.expert_weights_scale"] == .float32(1) && two["deepseek2.expert_weights_norm"] == nil)
    #expect(two["deepseek2.expert_shared_count"] == .uint32(2))
  }

  /// If the router's method has no groups, the GGUF must not have any: its readers don't know the method.
  @Test func groupsOfAGreedyRouter() throws {
    for (method, count) in [("greedy", nil), ("group_limited_greedy", 4)] as [(String, UInt32?)] {
      let metadata = try metadata("DeepseekV2", ["topk_method": method, "n_group": 4, "topk_group": 2])
      #expect(metadata["deepseek2.expert_group_count"] == count.map { .uint32($0) })
    }
  }

  /// Llama 3's factors are a tensor. Readers of `llama` accept it for mixtures too.
  @Test(arguments: ["Llama", "Mistral", "Mixtral"]) func factorsOfLlama3(architecture: String) throws {
    let scaling: [String: Any] = [
      "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 64,
    ]
    let tensor = try model(architecture, ["rope_scaling": scaling]).tensor(named: "rope_freqs.weight")
    #expect(tensor?.shape.dimensions == [8])
    #expect(throws: FormatError.self) {
      try model(architecture, ["rope_scaling": scaling.filter { $0.key != "factor" }])
    }
  }

  /// YaRN's formulas: cosines and sines are multiplied by `attention_factor`, or by the ratio of the growths of the
  /// scales. A GGUF stores this factor divided by 1 + log(factor) / 10.
  @Test(arguments: ["Llama", "Qwen2", "Qwen3", "Qwen3Moe", "Mixtral"]) func magnitudeOfYarn(architecture: String) throws
  {
    let grown = 1 + 0.1 * Foundation.log(4.0)
    for (more, magnitude) in [
      ([:], grown), (["attention_factor": 1.4], 1.4), (["attention_factor": grown], grown),
      (["attention_factor": 1], 1),
      (["mscale": 1, "mscale_all_dim": 1], 1), (["mscale": 0.5, "mscale_all_dim": 0], grown),
      (["mscale": 2, "mscale_all_dim": 1], (1 + 0.2 * Foundation.log(4.0)) / grown),
    ] as [([String: Double], Double)] {
      let yarn = more.merging(["factor": 4]) { $1 } as [String: Any]
      let metadata = try metadata(architecture, ["rope_scaling": yarn.merging(["type": "yarn"]) { $1 }])
      let gguf = try metadata.string("general.architecture")
      let multiple = metadata["\(gguf).rope.scaling.attn_factor"].map { Double($0.float ?? 0) } ?? 1
      #expect(abs(multiple * grown - magnitude) < 1e-6, "\(more)")
      #expect(metadata["\(gguf).rope.scaling.yarn_attn_factor"] == nil)
    }
  }

  /// Latent attention multiplies scores by the square of another growth. A reader uses `magnitude` for rotated
  /// dimensions, and the product of `magnitude` and `1 + multiplier * log(factor)` for scores.
  @Test(arguments: ["DeepseekV2", "DeepseekV3"]) func magnitudesOfLatentAttention(architecture: String) throws {
    let length = Foundation.log(40.0)
    func growth(_ scale: Double) -> Double { 1 + 0.1 * scale * length }
    for (type, more, rotated, scores) in [
      ("yarn", ["mscale": 1, "mscale_all_dim": 1], 1, growth(1)),
      ("yarn", ["mscale": 0.707, "mscale_all_dim": 0.707], 1, growth(0.707)),
      ("yarn", ["mscale": 1, "mscale_all_dim": 0.5], growth(1) / growth(0.5), growth(0.5)), ("yarn", [:], growth(1), 1),
      ("yarn", ["mscale_all_dim": 0.5], growth(1), growth(0.5)), ("yarn", ["attention_factor": 1.4], 1.4, 1),
      ("yarn", ["attention_factor": 1, "mscale_all_dim": 1], 1, growth(1)), ("linear", [:], 1, 1),
      ("linear", ["mscale_all_dim": 0.5], 1, growth(0.5)), ("default", [:], 1, 1),
    ] as [(String, [String: Double], Double, Double)] {
      let factor = type == "default" ? [:] : ["factor": 40.0]
      let rope = more.merging(factor) { $1 } as [String: Any]
      let metadata = try metadata(architecture, ["rope_scaling": rope.merging(["type": type]) { $1 }])
      func number(_ key: String) -> Double? { metadata["deepseek2.rope.scaling.\(key)"]?.float.map(Double.init) }
      let multiplier = number("yarn_log_multiplier") ?? 0
      let multiple = number("attn_factor") ?? 1
      let isDefault = type == "default"
      let actual = type == "yarn" && multiplier == 0 ? growth(1) * multiple : multiple
      #expect(abs(actual - rotated) < 1e-6, "\(type) \(more)")
      let applied = type == "linear" ? growth(1) * multiple : actual
      #expect(abs(applied * (1 + (isDefault ? 0 : multiplier * length)) - scores) < 1e-6, "\(type) \(more)")
    }
  }

  /// A value of the wrong kind is not treated as missing.
  @Test func valuesOfAnotherKind() throws {
    for (key, value) in [("rope_theta", "5e5"), ("rope_theta", -1), ("original_max_position_embeddings", "4k")]
      as [(String, Any)]
    {
      let error = try #require(throws: FormatError.self) { try model("Llama", [key: value]) }
      #expect(error.subject == "key \(key)")
    }
    for key in ["factor", "attention_factor", "mscale"] {
      let yarn: [String: Any] = ["type": "yarn", "factor": 4, "mscale_all_dim": 1]
      let error = try #require(throws: FormatError.self) {
        try model("Qwen2", ["rope_scaling": yarn.merging([key: "2"]) { $1 }])
      }
      #expect(error.subject == "key rope_scaling.\(key)")
    }
    for (architecture, key, value) in [
      ("DeepseekV3", "norm_topk_prob", 1), ("Qwen3Moe", "norm_topk_prob", 1),
      ("Llama", "layer_types", "sliding_attention"),
      ("Qwen3", "layer_types", "sliding_attention"), ("Qwen3Moe", "use_sliding_window", 1),
    ] as [(String, String, Any)] {
      let error = try #require(throws: FormatError.self) {
        try model(architecture, [key: value, "sliding_window": 64])
      }
      #expect(error.subject == "key \(key)", "\(architecture)")
    }
    // A false value has no effect.
    _ = try model(
      "Llama", ["final_logit_softcapping": 0, "num_kv_shared_layers": 0, "alibi": false, "no_rope_layers": []])
  }

  @Test func unknownKeysAreListed() throws {
    let review = try model(
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
        try model("Llama", ["clip_qkv": 8, "alibi": true], ignoring: ["alibi", key])
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

extension MetadataValue {
  fileprivate var float: Float? { if case .float32(let value) = self { value } else { nil } }
}
