import GGUF

/// Mistral3ForConditionalGeneration and Ministral3ForCausalLM: Mistral Small 3.1 and 3.2, Devstral 2, Ministral 3. Llama
/// with YaRN, and in Ministral 3 with scores that grow with the position.
struct Mistral3Checkpoint: CheckpointArchitecture {
  static let names = ["Mistral3ForConditionalGeneration", "Ministral3ForCausalLM"]
  static let ggufName = "mistral3"
  static let isNested = true
  static let defaults: [String: JSONValue] = ["num_key_value_heads": .int(8)]
  static let keys = KeyTable.dense.adding(
    KeyTable(
      honoured: ["attention_bias", "mlp_bias"], harmless: KeyTable.mistralTowers,
      rules: [
        .noSlidingWindow, .limitingWindow, .rope(RopeForms(hasBetas: true, isTempered: true)),
        .none("qkv_bias", "qk_norm", "use_qk_norm", "qk_layernorm"),
      ]))

  static func window(_ config: Config) -> Int? { config.limitingWindow(absent: nil) }

  private let decoder: DecoderConfig

  init(config: Config) throws {
    if config["model_type"]?.string == "ministral3" { try config.requireRotation() }
    decoder = try DecoderConfig(config)
  }

  func hyperparameters() throws -> Metadata {
    let name = Self.ggufName
    var metadata = try decoder.keys(name)
    metadata.merge(decoder.headKeys(name)) { $1 }
    metadata["\(name).vocab_size"] = .uint32(UInt32(decoder.vocabulary))
    metadata["\(name).rope.dimension_count"] = .uint32(UInt32(decoder.headSize))
    decoder.rope.addTemperedKeys(name, to: &metadata)
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      let bias = decoder.bias("attention_bias")
      try decoder.attention(layer: layer, interleaved: true, inputBias: bias, outputBias: bias, &all)
      try decoder.feedForward(layer: layer, bias: decoder.bias("mlp_bias"), &all)
    }
    try decoder.head(&all)
  }
}

extension KeyTable {
  /// The keys of the towers that precede Mistral's models.
  static let mistralTowers: Set<String> = [
    "multimodal_projector_bias", "projector_hidden_act", "spatial_merge_size", "vision_feature_layer",
  ]
}
