import Foundation
import GGUF

/// LlamaForCausalLM: Llama 2 and 3, Miqu and their merges.
struct LlamaCheckpoint: Architecture {
  static let names = ["LlamaForCausalLM"]
  static let ggufName = "llama"

  private let config: Config
  private let layers: Int
  private let width: Int
  private let feedForward: Int
  private let heads: Int
  private let keyHeads: Int
  private let headSize: Int
  private let vocabulary: Int

  init(config: Config) throws {
    self.config = config
    layers = try config.int("num_hidden_layers")
    width = try config.int("hidden_size")
    feedForward = try config.int("intermediate_size")
    heads = try config.int("num_attention_heads")
    keyHeads = try config.int("num_key_value_heads", default: heads)
    guard heads % keyHeads == 0, config["head_dim"] != nil || width % heads == 0 else {
      throw CheckpointError(
        path: config.path, subject: "key num_attention_heads",
        "\(heads) heads over \(keyHeads) key/value heads in width \(width)")
    }
    headSize = try config.int("head_dim", default: width / heads)
    vocabulary = try config.int("vocab_size")
  }

  func hyperparameters() throws -> Metadata {
    var metadata: Metadata = [
      "llama.block_count": .uint32(UInt32(layers)),
      "llama.context_length": .uint32(UInt32(try config.int("max_position_embeddings"))),
      "llama.embedding_length": .uint32(UInt32(width)),
      "llama.feed_forward_length": .uint32(UInt32(feedForward)),
      "llama.attention.head_count": .uint32(UInt32(heads)),
      "llama.attention.head_count_kv": .uint32(UInt32(keyHeads)),
      "llama.rope.freq_base": .float32(Float(config.rope.theta)),
      "llama.attention.layer_norm_rms_epsilon": .float32(Float(try config.double("rms_norm_eps"))),
    ]
    if config["head_dim"] != nil {
      metadata["llama.attention.key_length"] = .uint32(UInt32(headSize))
      metadata["llama.attention.value_length"] = .uint32(UInt32(headSize))
    }
    metadata["llama.vocab_size"] = .uint32(UInt32(vocabulary))
    metadata["llama.rope.dimension_count"] = .uint32(UInt32(headSize))
    if config.rope.type == "linear", let factor = config.rope.double("factor") {
      metadata["llama.rope.scaling.type"] = .string("linear")
      metadata["llama.rope.scaling.factor"] = .float32(Float(factor))
    }
    return metadata
  }

  func tensors(of stored: SafetensorsSet) throws -> [TensorRecipe] {
    var all = TensorCollector(stored)
    try all.matrix("token_embd.weight", from: "model.embed_tokens.weight", outputs: vocabulary, inputs: width)
    if let factors = ropeFactors() { all.computed("rope_freqs.weight", factors) }
    for layer in 0..<layers {
      let (to, from) = ("blk.\(layer).", "model.layers.\(layer).")
      try all.vector(to + "attn_norm.weight", from: from + "input_layernorm.weight", count: width)
      try projection("q", to, from, count: heads, rotated: true, &all)
      try projection("k", to, from, count: keyHeads, rotated: true, &all)
      try projection("v", to, from, count: keyHeads, rotated: false, &all)
      try all.matrix(
        to + "attn_output.weight", from: from + "self_attn.o_proj.weight", outputs: width, inputs: heads * headSize)
      if stored[from + "self_attn.o_proj.bias"] != nil {
        try all.vector(to + "attn_output.bias", from: from + "self_attn.o_proj.bias", count: width)
      }
      try all.vector(to + "ffn_norm.weight", from: from + "post_attention_layernorm.weight", count: width)
      for (name, source, outputs, inputs) in [
        ("ffn_gate", "gate_proj", feedForward, width), ("ffn_up", "up_proj", feedForward, width),
        ("ffn_down", "down_proj", width, feedForward),
      ] {
        try all.matrix(to + name + ".weight", from: from + "mlp.\(source).weight", outputs: outputs, inputs: inputs)
        if stored[from + "mlp.\(source).bias"] != nil {
          try all.vector(to + name + ".bias", from: from + "mlp.\(source).bias", count: outputs)
        }
      }
    }
    try all.vector("output_norm.weight", from: "model.norm.weight", count: width)
    if config["tie_word_embeddings"]?.bool != true {
      try all.matrix("output.weight", from: "lm_head.weight", outputs: vocabulary, inputs: width)
    }
    return all.recipes
  }

  private func projection(
    _ letter: String, _ to: String, _ from: String, count: Int, rotated: Bool, _ all: inout TensorCollector
  ) throws {
    let source = from + "self_attn.\(letter)_proj"
    try all.matrix(
      to + "attn_\(letter).weight", from: source + ".weight", outputs: count * headSize, inputs: width,
      heads: rotated ? count : nil)
    if all.stored[source + ".bias"] != nil {
      try all.vector(to + "attn_\(letter).bias", from: source + ".bias", count: count * headSize)
    }
  }

  /// Llama 3's scaling, as one factor per rotated pair: wavelengths beyond the original context are stretched by
  /// `factor`, short ones left, and those between blended. Source: "The Llama 3 Herd of Models" and its reference code.
  private func ropeFactors() -> [Float]? {
    let rope = config.rope
    guard rope.type == "llama3" else { return nil }
    let factor = rope.double("factor") ?? 8
    let low = rope.double("low_freq_factor") ?? 1
    let high = rope.double("high_freq_factor") ?? 4
    let context = rope.double("original_max_position_embeddings") ?? 8192
    return stride(from: 0, to: headSize, by: 2).map { index in
      let wavelength = 2 * Double.pi * pow(rope.theta, Double(index) / Double(headSize))
      if wavelength < context / high { return 1 }
      if wavelength > context / low { return Float(factor) }
      let smooth = (context / wavelength - low) / (high - low)
      return Float(1 / ((1 - smooth) / factor + smooth))
    }
  }
}
