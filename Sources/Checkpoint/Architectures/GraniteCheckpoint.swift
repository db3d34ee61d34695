import GGUF

/// GraniteForCausalLM: Llama with factors of the embeddings, of scores, of what a layer adds, and of logits.
struct GraniteCheckpoint: CheckpointArchitecture {
  static let names = ["GraniteForCausalLM"]
  static let ggufName = "granite"
  static let keys = KeyTable.dense.adding(
    KeyTable(
      honoured: [
        "attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling", "attention_bias",
        "mlp_bias",
      ],
      rules: [
        .noSlidingWindow, .rope(RopeForms(hasFactors: true)), multipliers, headSize,
        .none("qkv_bias", "qk_norm", "use_qk_norm", "qk_layernorm"),
      ]))

  /// Readers take 0 for a missing factor.
  private static let multipliers = KeyRule { config, gguf in
    ["attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling"].compactMap { key in
      guard let value = config[key], value.double ?? 0 <= 0 else { return nil }
      return RefusedKey(key, value.text, "a GGUF of \(gguf) has positive factors")
    }
  }

  private static let headSize = KeyRule("head_dim") { config, gguf in
    guard let size = config["head_dim"]?.int, let heads = config["num_attention_heads"]?.int,
      let width = config["hidden_size"]?.int, heads > 0, size * heads != width
    else { return [] }
    return [
      RefusedKey(
        "head_dim", "\(size)", "a GGUF of \(gguf) means hidden_size over num_attention_heads", shapesTensors: true)
    ]
  }

  private let decoder: DecoderConfig

  init(config: Config) throws { decoder = try DecoderConfig(config) }

  func hyperparameters() throws -> Metadata {
    let (name, config) = (Self.ggufName, decoder.config)
    var metadata = try decoder.keys(name)
    metadata["\(name).vocab_size"] = .uint32(UInt32(decoder.vocabulary))
    metadata["\(name).rope.dimension_count"] = .uint32(UInt32(decoder.headSize))
    // transformers' factors are 1 if they are missing. Readers need that of logits, and derive that of scores.
    for (key, source) in [
      ("attention.scale", "attention_multiplier"), ("embedding_scale", "embedding_multiplier"),
      ("residual_scale", "residual_multiplier"), ("logit_scale", "logits_scaling"),
    ] {
      metadata["\(name).\(key)"] = .float32(Float(config[source] == nil ? 1 : try config.double(source)))
    }
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    let bias = decoder.bias("attention_bias")
    try decoder.embeddings(&all)
    if let factors = decoder.rope.llama3Factors(headSize: decoder.headSize) {
      try all.computed("rope_freqs.weight", factors)
    }
    for layer in 0..<decoder.layers {
      try decoder.attention(layer: layer, interleaved: true, inputBias: bias, outputBias: bias, &all)
      try decoder.feedForward(layer: layer, bias: decoder.bias("mlp_bias"), &all)
    }
    try decoder.head(&all)
  }
}
