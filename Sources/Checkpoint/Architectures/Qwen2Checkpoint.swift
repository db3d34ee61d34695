import GGUF

/// Qwen2ForCausalLM: Qwen 2 and 2.5. Queries, keys and values always have biases.
struct Qwen2Checkpoint: CheckpointArchitecture {
  static let names = ["Qwen2ForCausalLM"]
  static let ggufName = "qwen2"
  static let keys = KeyTable.dense.adding(
    KeyTable(
      harmless: ["attention_bias"],
      rules: [
        .slidingWindow(isUniform: false), .rope(RopeForms(hasKinds: true)), headSize,
        .only("qkv_bias", are: .bool(true)),
        .none("mlp_bias", "qk_norm", "use_qk_norm", "qk_layernorm"),
      ]))

  /// Readers of qwen2 assume that queries are as wide as the model.
  private static let headSize = KeyRule("head_dim") { config, gguf in
    guard let size = config["head_dim"]?.int, let heads = config["num_attention_heads"]?.int,
      let width = config["hidden_size"]?.int, heads > 0, width % heads != 0 || size != width / heads
    else { return [] }
    return [
      RefusedKey(
        "head_dim", "\(size)", "a GGUF of \(gguf) means hidden_size over num_attention_heads", shapesTensors: true)
    ]
  }

  private let decoder: DecoderConfig

  init(config: Config) throws { decoder = try DecoderConfig(config, keyHeads: 32) }

  func hyperparameters() throws -> Metadata {
    var metadata = try decoder.keys("qwen2")
    if decoder.config["head_dim"] != nil { metadata.merge(decoder.headKeys("qwen2")) { $1 } }
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      try decoder.attention(layer: layer, interleaved: false, inputBias: .expected, &all)
      try decoder.feedForward(layer: layer, &all)
    }
    try decoder.head(&all)
  }
}
