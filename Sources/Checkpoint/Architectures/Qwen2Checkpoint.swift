import GGUF

/// Qwen2ForCausalLM: Qwen 2 and 2.5. Queries, keys and values always have biases.
struct Qwen2Checkpoint: Architecture {
  static let names = ["Qwen2ForCausalLM"]
  static let ggufName = "qwen2"

  private let decoder: DecoderConfig

  init(config: Config) throws { decoder = try DecoderConfig(config) }

  func hyperparameters() throws -> Metadata {
    var metadata = try decoder.keys("qwen2")
    if decoder.config["head_dim"] != nil { metadata.merge(decoder.headKeys("qwen2")) { $1 } }
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      try decoder.attention(layer: layer, interleaved: false, inputBias: true, outputBias: false, &all)
      try decoder.feedForward(layer: layer, &all)
    }
    try decoder.head(&all)
  }
}
