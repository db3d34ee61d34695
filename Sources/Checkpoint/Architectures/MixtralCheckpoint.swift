import GGUF

/// MixtralForCausalLM: `llama` with experts. Their w1, w3 and w2 are gate, up and down.
struct MixtralCheckpoint: CheckpointArchitecture {
  static let names = ["MixtralForCausalLM"]
  static let ggufName = "llama"
  static let keys = KeyTable.plainExperts.adding(
    KeyTable(rules: [
      .only("norm_topk_prob", are: .bool(true)), .limitingWindow, .noSlidingWindow, .rope(RopeForms(hasFactors: true)),
      .none("attention_bias", "mlp_bias", "qkv_bias", "qk_norm", "use_qk_norm", "qk_layernorm"),
    ]))

  static func window(_ config: Config) -> Int? { config.limitingWindow(absent: nil) }

  private let decoder: DecoderConfig
  private let experts: Int
  private let expertsUsed: Int

  init(config: Config) throws {
    decoder = try DecoderConfig(config, keyHeads: 8, theta: 1_000_000)
    experts = try config.int("num_local_experts", maximum: 1 << 16)
    expertsUsed = try config.int("num_experts_per_tok", maximum: experts)
  }

  func hyperparameters() throws -> Metadata {
    var metadata = try decoder.keys("llama")
    metadata["llama.expert_count"] = .uint32(UInt32(experts))
    metadata["llama.expert_used_count"] = .uint32(UInt32(expertsUsed))
    if decoder.config["head_dim"] != nil { metadata.merge(decoder.headKeys("llama")) { $1 } }
    metadata["llama.vocab_size"] = .uint32(UInt32(decoder.vocabulary))
    metadata["llama.rope.dimension_count"] = .uint32(UInt32(decoder.headSize))
    if let window = Self.window(decoder.config) {
      metadata["llama.attention.sliding_window"] = .uint32(UInt32(window))
    }
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    if let factors = decoder.rope.llama3Factors(headSize: decoder.headSize) {
      try all.computed("rope_freqs.weight", factors)
    }
    for layer in 0..<decoder.layers {
      let bias = decoder.bias("attention_bias")
      try decoder.attention(layer: layer, interleaved: true, inputBias: bias, outputBias: bias, &all)
      try all.exactMatrix(
        "blk.\(layer).ffn_gate_inp.weight", from: "model.layers.\(layer).block_sparse_moe.gate.weight",
        outputs: experts, inputs: decoder.width)
      try decoder.experts(
        layer: layer, count: experts, width: decoder.feedForward, from: "block_sparse_moe.experts.",
        parts: ("w1", "w3", "w2"), &all)
    }
    try decoder.head(&all)
  }
}
