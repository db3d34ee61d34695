import GGUF

/// HYV3ForCausalLM: Hunyuan 3. Norms of queries and keys, a dense layer, then experts with a sigmoid router and shared
/// experts; blocks for multi-token prediction follow the last layer.
struct HYV3Checkpoint: CheckpointArchitecture {
  static let names = ["HYV3ForCausalLM"]
  static let ggufName = "hy_v3"
  static let defaults: [String: JSONValue] = ["rope_theta": .number(11_158_840), "head_dim": .int(128)]
  static let keys = KeyTable.sigmoidExperts.adding(
    KeyTable(
      honoured: ["num_shared_experts", "router_scaling_factor", "router_bias", "use_expert_bias"],
      harmless: ["enable_moe_fp32_combine", "enable_attention_fp32_softmax", "enable_lm_head_fp32"],
      rules: [
        .noSlidingWindow, .rope(), .none("attention_bias", "mlp_bias", "qkv_bias"),
        .only("qk_norm", "use_qk_norm", "qk_layernorm", are: .bool(true)), .only("route_norm", are: .bool(true)),
        .only("norm_topk_prob", are: .bool(true)), .only("routed_scaling_factor", are: .int(1)),
        .only("n_group", "topk_group", are: .int(0), .int(1)),
      ]))

  private let decoder: DecoderConfig
  private let experts: RoutedExperts
  private let prediction: PredictionLayers
  private let denseLayers: Int

  init(config: Config) throws {
    decoder = try DecoderConfig(config, keyHeads: 8)
    var experts = try RoutedExperts(config, count: "num_experts", "num_local_experts")
    experts.router = "mlp.router.gate.weight"
    experts.correction = ("mlp.expert_bias", "exp_probs_b")
    experts.shared = "mlp.shared_mlp."
    experts.sharedWidth = experts.width * (try config.int("num_shared_experts", default: 1))
    self.experts = experts
    var prediction = try PredictionLayers(config, layers: decoder.layers)
    prediction.headNorm = "final_layernorm.weight"
    self.prediction = prediction
    denseLayers = try config.denseLayers(absent: 1)
  }

  var predictionBlocks: Int { prediction.count }
  func leavesOut(_ name: String) -> Bool { prediction.leavesOut(name) }

  func hyperparameters() throws -> Metadata {
    let (name, config) = (Self.ggufName, decoder.config)
    var metadata = try decoder.keys(name)
    metadata.merge(prediction.keys(name, writesZero: false)) { $1 }
    metadata.merge(experts.keys(name)) { $1 }
    metadata.merge(decoder.headKeys(name)) { $1 }
    metadata["\(name).expert_shared_feed_forward_length"] = .uint32(UInt32(experts.sharedWidth))
    metadata["\(name).expert_weights_norm"] = .bool(true)
    metadata["\(name).expert_weights_scale"] = .float32(
      config["router_scaling_factor"] == nil ? 2.826 : try config.expertScale("router_scaling_factor"))
    metadata["\(name).expert_gating_func"] = .uint32(2)
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in prediction.all {
      try decoder.attention(layer: layer, norms: .perHead, &all)
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
