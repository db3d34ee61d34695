import GGUF

/// LlamaForCausalLM: Llama 2 and 3, Miqu and their merges.
struct LlamaCheckpoint: Architecture {
  static let names = ["LlamaForCausalLM"]
  static let ggufName = "llama"

  private let decoder: DecoderConfig

  init(config: Config) throws { decoder = try DecoderConfig(config) }

  func hyperparameters() throws -> Metadata {
    var metadata = try decoder.keys("llama")
    metadata.merge(decoder.headKeys("llama")) { $1 }
    metadata["llama.vocab_size"] = .uint32(UInt32(decoder.vocabulary))
    metadata["llama.rope.dimension_count"] = .uint32(UInt32(decoder.headSize))
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    let attentionBias = decoder.config["attention_bias"]?.bool == true
    let feedForwardBias = decoder.config["mlp_bias"]?.bool == true
    try decoder.embeddings(&all)
    if let factors = try decoder.config.rope.llama3Factors(headSize: decoder.headSize) {
      try all.computed("rope_freqs.weight", factors)
    }
    for layer in 0..<decoder.layers {
      try decoder.attention(
        layer: layer, interleaved: true, inputBias: attentionBias, outputBias: attentionBias, &all)
      try decoder.feedForward(layer: layer, bias: feedForwardBias, &all)
    }
    try decoder.head(&all)
  }
}
