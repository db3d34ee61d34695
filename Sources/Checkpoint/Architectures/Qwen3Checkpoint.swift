import GGUF

/// Qwen3ForCausalLM: norms on queries and keys, and a default head size of 128.
struct Qwen3Checkpoint: CheckpointArchitecture {
  static let names = ["Qwen3ForCausalLM"]
  static let ggufName = "qwen3"
  // Readers of qwen3 do not support a bias for the output of attention.
  static let keys = KeyTable.dense.adding(
    KeyTable(rules: [
      .slidingWindow(isUniform: false), .rope(RopeForms(hasKinds: true)),
      .only("qk_norm", "use_qk_norm", "qk_layernorm", are: .bool(true)),
      .none("attention_bias", "mlp_bias", "qkv_bias"),
    ]))

  private let decoder: DecoderConfig

  init(config: Config) throws {
    decoder = try DecoderConfig(config, headSize: try config.int("head_dim", default: 128), keyHeads: 32)
  }

  func hyperparameters() throws -> Metadata {
    var metadata = try decoder.keys("qwen3")
    metadata.merge(decoder.headKeys("qwen3")) { $1 }
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    let bias = decoder.bias("attention_bias")
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      try decoder.attention(
        layer: layer, interleaved: false, inputBias: bias, norms: .perHead, &all)
      try decoder.feedForward(layer: layer, &all)
    }
    try decoder.head(&all)
  }
}
