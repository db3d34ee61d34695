import GGUF

/// Ernie4_5ForCausalLM: Llama's layers.
struct Ernie45Checkpoint: CheckpointArchitecture {
  static let names = ["Ernie4_5ForCausalLM", "Ernie4_5_ForCausalLM"]
  static let ggufName = "ernie4_5"
  static let defaults = Ernie45.defaults
  static let keys = KeyTable.dense.adding(Ernie45.keys)

  private let decoder: DecoderConfig

  init(config: Config) throws { decoder = try DecoderConfig(config) }

  func hyperparameters() throws -> Metadata {
    var metadata = try decoder.keys(Self.ggufName)
    if decoder.config["head_dim"] != nil { metadata.merge(decoder.headKeys(Self.ggufName)) { $1 } }
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      try decoder.attention(layer: layer, &all)
      try decoder.feedForward(layer: layer, &all)
    }
    try decoder.head(&all)
  }
}

/// Ernie4_5_MoeForCausalLM: the same with experts behind the first layers, a softmax router with a bias for the choice,
/// and shared experts. Blocks for multi-token prediction are left out.
struct Ernie45MoeCheckpoint: CheckpointArchitecture {
  static let names = ["Ernie4_5_MoeForCausalLM"]
  static let ggufName = "ernie4_5-moe"
  static let defaults = Ernie45.defaults
  static let keys = Ernie45.keys.adding(
    KeyTable(
      honoured: [
        "moe_num_experts", "moe_k", "moe_intermediate_size", "moe_num_shared_experts", "moe_layer_start_index",
        "moe_layer_interval",
      ],
      harmless: ["moe_norm_min", "moe_capacity", "moe_gate", "moe_use_aux_free", "moe_layer_end_index"],
      rules: [lastLayer, .only("moe_layer_interval", are: .int(1), shapesTensors: true)]))

  /// Experts continue to the last layer.
  private static let lastLayer = KeyRule("moe_layer_end_index") { config, gguf in
    guard let end = config["moe_layer_end_index"], let layers = config["num_hidden_layers"]?.int, end.int != -1,
      end.int ?? 0 < layers - 1
    else { return [] }
    return [
      RefusedKey(
        "moe_layer_end_index", end.text, "a GGUF of \(gguf) has experts to the last layer", shapesTensors: true)
    ]
  }

  private let decoder: DecoderConfig
  private let experts: RoutedExperts
  private let denseLayers: Int

  init(config: Config) throws {
    decoder = try DecoderConfig(config)
    var experts = try RoutedExperts(config, count: "moe_num_experts", used: "moe_k")
    experts.correction = nil
    experts.sharedWidth = experts.width * (try config.count("moe_num_shared_experts", default: 0))
    self.experts = experts
    denseLayers = try config.count("moe_layer_start_index", default: 1)
  }

  func leavesOut(_ name: String) -> Bool { name.hasPrefix("model.mtp_") }

  func hyperparameters() throws -> Metadata {
    let name = Self.ggufName
    var metadata = try decoder.keys(name)
    if decoder.config["head_dim"] != nil { metadata.merge(decoder.headKeys(name)) { $1 } }
    metadata.merge(experts.keys(name)) { $1 }
    metadata["\(name).interleave_moe_layer_step"] = .uint32(1)
    metadata["\(name).leading_dense_block_count"] = .uint32(UInt32(denseLayers))
    metadata["\(name).expert_shared_count"] = .uint32(UInt32(experts.sharedWidth / experts.width))
    if experts.sharedWidth > 0 {
      metadata["\(name).expert_shared_feed_forward_length"] = .uint32(UInt32(experts.sharedWidth))
    }
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      try decoder.attention(layer: layer, &all)
      guard layer >= denseLayers else {
        try decoder.feedForward(layer: layer, &all)
        continue
      }
      try experts.collectTensors(layer: layer, decoder, &all)
      // Stored as a matrix of one row.
      let correction = "model.layers.\(layer).mlp.moe_statics.e_score_correction_bias"
      if all.has(correction, expected: true) {
        try all.exactMatrix(
          "blk.\(layer).exp_probs_b.bias", from: correction, outputs: 1, inputs: experts.count)
      }
    }
    try decoder.head(&all)
  }
}

private enum Ernie45 {
  static let defaults: [String: JSONValue] = ["tie_word_embeddings": .bool(true), "rope_theta": .number(5e5)]
  static let keys = KeyTable(
    rules: [
      .noSlidingWindow, .rope(),
      .none("attention_bias", "mlp_bias", "qkv_bias", "qk_norm", "use_qk_norm", "qk_layernorm"),
    ])
}
