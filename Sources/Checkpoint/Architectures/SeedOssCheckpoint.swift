import GGUF

/// SeedOssForCausalLM: biases of queries, keys and values, and heads whose size is not width over heads.
struct SeedOssCheckpoint: CheckpointArchitecture {
  static let names = ["SeedOssForCausalLM"]
  static let ggufName = "seed_oss"
  static let defaults: [String: JSONValue] = ["num_key_value_heads": .int(8), "head_dim": .int(128)]
  static let keys = KeyTable.dense.adding(
    KeyTable(
      honoured: ["attention_bias"],
      rules: [
        .noSlidingWindow, .rope(),
        .none("mlp_bias", "attention_out_bias", "qk_norm", "use_qk_norm", "qk_layernorm"),
      ]))

  private let decoder: DecoderConfig

  init(config: Config) throws { decoder = try DecoderConfig(config) }

  func hyperparameters() throws -> Metadata {
    try decoder.keys(Self.ggufName).merging(decoder.headKeys(Self.ggufName)) { $1 }
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      try decoder.attention(
        layer: layer, inputBias: decoder.bias("attention_bias"), feedForwardNorm: "post_attention_norm", &all)
      try decoder.feedForward(layer: layer, &all)
    }
    try decoder.head(&all)
  }
}
