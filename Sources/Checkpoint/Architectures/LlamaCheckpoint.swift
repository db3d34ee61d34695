import GGUF

/// LlamaForCausalLM: Llama 2 and 3, Miqu and their merges.
struct LlamaCheckpoint: CheckpointArchitecture {
  static let names = ["LlamaForCausalLM"]
  static let ggufName = "llama"
  static let keys = KeyTable.dense.adding(
    KeyTable(
      honoured: ["attention_bias", "mlp_bias"],
      rules: [
        .noSlidingWindow, .rope(RopeForms(hasFactors: true)),
        .none("qkv_bias", "qk_norm", "use_qk_norm", "qk_layernorm"),
      ]))

  private let decoder: DecoderConfig

  init(config: Config) throws { try self.init(config: config, keyHeads: nil) }

  /// - Parameter keyHeads: the default of a missing `num_key_value_heads`; nil means the number of heads.
  init(config: Config, keyHeads: Int?) throws { decoder = try DecoderConfig(config, keyHeads: keyHeads) }

  func hyperparameters() throws -> Metadata {
    var metadata = try decoder.keys("llama")
    metadata.merge(decoder.headKeys("llama")) { $1 }
    metadata["llama.vocab_size"] = .uint32(UInt32(decoder.vocabulary))
    metadata["llama.rope.dimension_count"] = .uint32(UInt32(decoder.headSize))
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    let bias = (attention: decoder.bias("attention_bias"), feedForward: decoder.bias("mlp_bias"))
    try decoder.embeddings(&all)
    if let factors = decoder.rope.llama3Factors(headSize: decoder.headSize) {
      try all.computed("rope_freqs.weight", factors)
    }
    for layer in 0..<decoder.layers {
      try decoder.attention(
        layer: layer, interleaved: true, inputBias: bias.attention, outputBias: bias.attention, &all)
      try decoder.feedForward(layer: layer, bias: bias.feedForward, &all)
    }
    try decoder.head(&all)
  }
}
