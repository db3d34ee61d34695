import GGUF

/// Glm4MoeForCausalLM: GLM 4.5 to 4.7 and Air. Half of a head is rotated; the first layers are dense; one block for
/// multi-token prediction follows the last layer.
struct Glm4MoeCheckpoint: CheckpointArchitecture {
  static let names = ["Glm4MoeForCausalLM"]
  static let ggufName = "glm4moe"
  static let defaults: [String: JSONValue] = ["num_key_value_heads": .int(8)]
  // Readers of glm4moe do not support a bias for the output of attention.
  static let keys = KeyTable.sigmoidExperts.adding(
    KeyTable(
      honoured: ["attention_bias", "use_qk_norm", "partial_rotary_factor"],
      rules: [.noSlidingWindow, .rope(RopeForms(isPartial: true)), .none("mlp_bias", "qkv_bias")]))

  private let decoder: DecoderConfig
  private let experts: RoutedExperts
  private let prediction: PredictionLayers
  private let denseLayers: Int

  init(config: Config) throws {
    decoder = try DecoderConfig(config)
    var experts = try RoutedExperts(config, count: "n_routed_experts")
    experts.sharedWidth = experts.width * (try config.count("n_shared_experts", default: 1))
    self.experts = experts
    prediction = try PredictionLayers(config, layers: decoder.layers)
    denseLayers = try config.denseLayers(absent: 1)
  }

  var predictionBlocks: Int { prediction.count }
  func leavesOut(_ name: String) -> Bool { prediction.leavesOut(name) }

  func hyperparameters() throws -> Metadata {
    let (name, config) = (Self.ggufName, decoder.config)
    var metadata = try decoder.keys(name)
    metadata.merge(prediction.keys(name)) { $1 }
    metadata.merge(experts.keys(name)) { $1 }
    if config["head_dim"] != nil { metadata.merge(decoder.headKeys(name)) { $1 } }
    metadata["\(name).rope.dimension_count"] = .uint32(
      UInt32(try decoder.rope.rotated(of: decoder.headSize, in: config, default: 0.5)))
    metadata.merge(try config.sigmoidRouterKeys(name, experts: experts.count)) { $1 }
    metadata["\(name).expert_shared_count"] = .uint32(UInt32(experts.sharedWidth / experts.width))
    metadata["\(name).leading_dense_block_count"] = .uint32(UInt32(denseLayers))
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    let hasNorms = decoder.config["use_qk_norm"]?.bool == true
    try decoder.embeddings(&all)
    for layer in prediction.all {
      try decoder.attention(
        layer: layer, inputBias: decoder.bias("attention_bias"), norms: hasNorms ? .perHead : .none,
        feedForwardNorm: "post_attention_norm", &all)
      if layer < denseLayers {
        try decoder.feedForward(layer: layer, &all)
      } else {
        try experts.collectTensors(layer: layer, decoder, &all)
      }
      try prediction.collectTensors(layer: layer, decoder, &all)
    }
    try decoder.head(&all)
  }
}

extension Config {
  /// The keys of a sigmoid router: groups, scale and norm, as far as they are present.
  func sigmoidRouterKeys(_ name: String, experts: Int) throws -> Metadata {
    try checkGroups(
      self["n_group"].map { _ in try int("n_group") }, used: self["topk_group"].map { _ in try int("topk_group") },
      experts: experts)
    var metadata: Metadata = ["\(name).expert_gating_func": .uint32(2)]
    for (key, source) in [("expert_group_count", "n_group"), ("expert_group_used_count", "topk_group")]
    where self[source] != nil {
      metadata["\(name).\(key)"] = .uint32(UInt32(try int(source)))
    }
    if self["routed_scaling_factor"] != nil {
      metadata["\(name).expert_weights_scale"] = .float32(try expertScale())
    }
    metadata["\(name).expert_weights_norm"] = .bool(self["norm_topk_prob"]?.bool ?? true)
    return metadata
  }
}
