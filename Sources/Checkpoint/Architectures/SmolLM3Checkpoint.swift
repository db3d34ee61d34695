import GGUF

/// SmolLM3ForCausalLM: Llama whose every fourth layer has no rotation.
struct SmolLM3Checkpoint: CheckpointArchitecture {
  static let names = ["SmolLM3ForCausalLM"]
  static let ggufName = "smollm3"
  static let defaults: [String: JSONValue] = [
    "tie_word_embeddings": .bool(true), "rope_theta": .number(2e6), "num_key_value_heads": .int(4),
  ]
  static let keys = KeyTable.dense.adding(
    KeyTable(
      honoured: ["no_rope_layers", "no_rope_layer_interval"],
      rules: [
        .noSlidingWindow, .rope(), rotation, .only("no_rope_layer_interval", are: .int(period)),
        .none("attention_bias", "mlp_bias", "qkv_bias", "qk_norm", "use_qk_norm", "qk_layernorm"),
      ]))

  /// One layer of this many has no rotation, the last.
  private static let period = 4

  private static let rotation = KeyRule("no_rope_layers") { config, gguf in
    let flags = config["no_rope_layers"]?.array ?? []
    let other = flags.enumerated().first { $1.int != (($0 + 1) % period == 0 ? 0 : 1) }
    return other.map { index, flag in
      [
        RefusedKey(
          "no_rope_layers", "\(flag.text) in layer \(index)",
          "a GGUF of \(gguf) has no rotation in every \(period)th layer, and one in the others")
      ]
    } ?? []
  }

  private let decoder: DecoderConfig

  init(config: Config) throws { decoder = try DecoderConfig(config) }

  func hyperparameters() throws -> Metadata {
    let name = Self.ggufName
    var metadata = try decoder.keys(name)
    if decoder.config["head_dim"] != nil { metadata.merge(decoder.headKeys(name)) { $1 } }
    metadata["\(name).vocab_size"] = .uint32(UInt32(decoder.vocabulary))
    metadata["\(name).rope.dimension_count"] = .uint32(UInt32(decoder.headSize))
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      try decoder.attention(layer: layer, interleaved: true, &all)
      try decoder.feedForward(layer: layer, &all)
    }
    try decoder.head(&all)
  }
}
