import GGUF

/// GlmMoeDsaForCausalLM: GLM 5 to 5.3. Latent attention to the keys that an indexer selects.
struct GlmDsaCheckpoint: CheckpointArchitecture {
  static let names = ["GlmMoeDsaForCausalLM"]
  static let ggufName = "glm-dsa"
  static let keys = IndexedLatent.keys

  private static let defaults = DeepseekConfig.Defaults(
    queryRank: 2048, denseLayers: 3, sharedExperts: 1, groups: 1, groupsUsed: 1, scale: 2.5, normalizes: true,
    epsilon: 1e-5)
  private let deepseek: DeepseekConfig

  init(config: Config) throws {
    deepseek = try DeepseekConfig(
      config, Self.defaults, name: Self.ggufName, carriesPrediction: true, hasIndexer: true)
  }

  var predictionBlocks: Int { deepseek.prediction?.count ?? 0 }
  func leavesOut(_ name: String) -> Bool { deepseek.isPrediction(name) }
  func hyperparameters() throws -> Metadata { try deepseek.keys(scoring: "sigmoid") }
  func collectTensors(_ all: inout TensorCollector) throws { try deepseek.collectTensors(&all, corrected: true) }
}

/// DeepseekV32ForCausalLM: DeepSeek V3.2. V3 with an indexer.
struct DeepseekV32Checkpoint: CheckpointArchitecture {
  static let names = ["DeepseekV32ForCausalLM"]
  static let ggufName = "deepseek32"
  static let keys = IndexedLatent.keys

  private static let defaults = DeepseekConfig.Defaults(
    denseLayers: 3, sharedExperts: 1, groups: 8, groupsUsed: 4, scale: 2.5, normalizes: true)
  private let deepseek: DeepseekConfig

  init(config: Config) throws {
    deepseek = try DeepseekConfig(
      config, Self.defaults, name: Self.ggufName, carriesPrediction: true, hasIndexer: true)
  }

  var predictionBlocks: Int { deepseek.prediction?.count ?? 0 }
  func leavesOut(_ name: String) -> Bool { deepseek.isPrediction(name) }
  func hyperparameters() throws -> Metadata { try deepseek.keys(scoring: "sigmoid") }
  func collectTensors(_ all: inout TensorCollector) throws { try deepseek.collectTensors(&all, corrected: true) }
}

private enum IndexedLatent {
  static let keys = DeepseekConfig.keys(
    rope: RopeForms(isLatent: true),
    [
      .only("norm_topk_prob", are: .bool(true), .bool(false)), .only("scoring_func", are: .string("sigmoid")),
      .only("topk_method", are: .string("noaux_tc")), .none("use_sliding_window"), kinds, scales,
    ]
  ).adding(
    KeyTable(
      honoured: ["index_topk", "index_n_heads", "index_head_dim", "indexer_types"],
      // Equal to qk_rope_head_dim; the pattern that indexer_types lists.
      harmless: [
        "head_dim", "index_topk_freq", "index_skip_topk_offset", "index_topk_pattern", "indexer_rope_interleave",
      ]
    ))

  private static let kinds = KeyRule("layer_types") { config, gguf in
    let kinds = config["layer_types"].map { $0.array ?? [$0] } ?? []
    let other = kinds.first { $0.string != "indexed_attention" && $0.string != "full_attention" }
    return other.map { [RefusedKey("layer_types", $0.text, "a GGUF of \(gguf) has indexed attention in all layers")] }
      ?? []
  }

  /// Readers assume that the scale of rotated elements is 1.
  private static let scales = KeyRule { config, gguf in
    let (name, parameters) = RopeConfig.parameters(of: config)
    return ["mscale", "mscale_all_dim"].compactMap { key in
      guard let value = parameters[key], value != .null, value.double != 1, value.double != 0 else { return nil }
      return RefusedKey("\(name).\(key)", value.text, "a GGUF of \(gguf) means 1")
    }
  }
}
