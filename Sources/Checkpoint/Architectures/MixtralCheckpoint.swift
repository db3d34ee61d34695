import GGUF

/// MixtralForCausalLM: `llama` with experts, whose w1, w3 and w2 are gate, up and down.
struct MixtralCheckpoint: Architecture {
  static let names = ["MixtralForCausalLM"]
  static let ggufName = "llama"

  private let decoder: DecoderConfig
  private let experts: Int
  private let expertsUsed: Int

  init(config: Config) throws {
    decoder = try DecoderConfig(config)
    experts = try config.int("num_local_experts", most: 1 << 16)
    expertsUsed = try config.int("num_experts_per_tok", most: experts)
  }

  func hyperparameters() throws -> Metadata {
    var metadata = try decoder.keys("llama")
    metadata["llama.expert_count"] = .uint32(UInt32(experts))
    metadata["llama.expert_used_count"] = .uint32(UInt32(expertsUsed))
    if decoder.config["head_dim"] != nil { metadata.merge(decoder.headKeys("llama")) { $1 } }
    metadata["llama.vocab_size"] = .uint32(UInt32(decoder.vocabulary))
    metadata["llama.rope.dimension_count"] = .uint32(UInt32(decoder.headSize))
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      try decoder.attention(layer: layer, interleaved: true, inputBias: false, outputBias: false, &all)
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
