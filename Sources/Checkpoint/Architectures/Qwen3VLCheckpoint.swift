import GGUF

/// Qwen3VLForConditionalGeneration: Qwen 3 behind a tower of vision, which is left out.
struct Qwen3VLCheckpoint: CheckpointArchitecture {
  static let names = ["Qwen3VLForConditionalGeneration"]
  static let ggufName = "qwen3vl"
  static let isNested = true
  static let defaults: [String: JSONValue] = ["rope_theta": .number(5e6)]
  static let keys = Qwen3Checkpoint.keys

  private let decoder: DecoderConfig

  init(config: Config) throws {
    decoder = try DecoderConfig(config, headSize: try config.int("head_dim", default: 128), keyHeads: 32)
  }

  func hyperparameters() throws -> Metadata {
    var metadata = try decoder.keys(Self.ggufName)
    metadata.merge(decoder.headKeys(Self.ggufName)) { $1 }
    metadata.merge(try decoder.visionKeys(Self.ggufName)) { $1 }
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      try decoder.attention(
        layer: layer, inputBias: decoder.bias("attention_bias"), norms: .perHead, &all)
      try decoder.feedForward(layer: layer, &all)
    }
    try decoder.head(&all)
  }
}

/// Qwen3VLMoeForConditionalGeneration: the same with experts, stacked and transposed.
struct Qwen3VLMoeCheckpoint: CheckpointArchitecture {
  static let names = ["Qwen3VLMoeForConditionalGeneration"]
  static let ggufName = "qwen3vlmoe"
  static let isNested = true
  static let defaults: [String: JSONValue] = ["rope_theta": .number(5e6), "norm_topk_prob": .bool(true)]
  static let keys = Qwen3MoeCheckpoint.keys

  private let decoder: DecoderConfig
  private let experts: RoutedExperts

  init(config: Config) throws {
    decoder = try DecoderConfig(config, headSize: try config.int("head_dim", default: 128), keyHeads: 4)
    experts = try RoutedExperts(config, count: "num_experts", "num_local_experts")
  }

  func hyperparameters() throws -> Metadata {
    var metadata = try decoder.keys(Self.ggufName)
    metadata.merge(experts.keys(Self.ggufName)) { $1 }
    metadata.merge(decoder.headKeys(Self.ggufName)) { $1 }
    metadata.merge(try decoder.visionKeys(Self.ggufName)) { $1 }
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    let (width, inner, count) = (decoder.width, experts.width, experts.count)
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      let (to, from) = ("blk.\(layer).", "model.layers.\(layer).mlp.")
      try decoder.attention(layer: layer, inputBias: decoder.bias("attention_bias"), norms: .perHead, &all)
      try all.exactMatrix(to + "ffn_gate_inp.weight", from: from + "gate.weight", outputs: count, inputs: width)
      for (name, first) in [("ffn_gate_exps", 0), ("ffn_up_exps", inner)] {
        try all.part(
          to + name + ".weight", [width, inner, count],
          .transposedColumns(
            from + "experts.gate_up_proj", shape: [count, width, 2 * inner], first: first, count: inner, every: 1))
      }
      try all.part(
        to + "ffn_down_exps.weight", [inner, width, count],
        .transposed(
          from + "experts.down_proj", shape: [count, inner, width], first: 0, count: inner, every: inner))
    }
    try decoder.head(&all)
  }
}

extension DecoderConfig {
  /// The keys of positions in images, and of layers that receive more of the tower's outputs.
  fileprivate func visionKeys(_ name: String) throws -> Metadata {
    var metadata: Metadata = [:]
    metadata["\(name).rope.dimension_sections"] = try config.imageAxes(
      absent: [24, 20, 20, 0], pairs: headSize / 2
    ).map { .array(.int32($0)) }
    let layers = config["vision_config"]?["deepstack_visual_indexes"]?.array?.count ?? 0
    metadata["\(name).n_deepstack_layers"] = .uint32(UInt32(layers))
    return metadata
  }
}
