import Files
import Foundation
import GGUF

/// Phi3ForCausalLM: Phi 3, 3.5 and 4. Queries, keys and values are one matrix, and so are gate and up. Models for long
/// texts have two sets of rope factors (LongRoPE, arXiv 2402.13753).
struct Phi3Checkpoint: CheckpointArchitecture {
  static let names = ["Phi3ForCausalLM"]
  static let ggufName = "phi3"
  static let keys = KeyTable.dense.adding(
    KeyTable(
      honoured: ["partial_rotary_factor"],
      rules: [
        .noSlidingWindow, .limitingWindow, .rope(RopeForms(isPartial: true, hasLongFactors: true)), types,
        .none("attention_bias", "mlp_bias", "qkv_bias", "qk_norm", "use_qk_norm", "qk_layernorm"),
      ]))

  // transformers takes both for longrope; readers do not scale positions.
  private static let types = KeyRule { config, gguf in
    let (name, parameters) = RopeConfig.parameters(of: config)
    let type = RopeConfig.type(of: parameters)
    guard ["linear", "yarn"].contains(type) else { return [] }
    return [RefusedKey("\(name).rope_type", type, "a GGUF of \(gguf) has default and longrope")]
  }

  static func window(_ config: Config) -> Int? { config.limitingWindow(absent: nil) }

  private let decoder: DecoderConfig
  private let rotated: Int
  private let factors: (short: [Float], long: [Float])?

  init(config: Config) throws {
    decoder = try DecoderConfig(config)
    rotated = try decoder.rope.rotated(of: decoder.headSize, in: config, default: 1)
    let (name, parameters) = RopeConfig.parameters(of: config)
    let pairs = rotated / 2
    func list(_ key: String) throws -> [Float] {
      let values = (parameters[key]?.array ?? []).compactMap(\.double).filter { $0 > 0 && $0.isFinite }.map(Float.init)
      guard values.count == pairs, parameters[key]?.array?.count == pairs else {
        throw FormatError(
          path: config.path, subject: "key \(name).\(key)", "is not a list of \(pairs) positive numbers")
      }
      return values
    }
    factors =
      ["longrope", "su"].contains(decoder.rope.type) ? (try list("short_factor"), try list("long_factor")) : nil
  }

  func hyperparameters() throws -> Metadata {
    let (name, config) = (Self.ggufName, decoder.config)
    var metadata = try decoder.keys(name)
    metadata["\(name).rope.scaling.original_context_length"] = .uint32(UInt32(decoder.rope.originalContext))
    metadata["\(name).rope.dimension_count"] = .uint32(UInt32(rotated))
    metadata["\(name).attention.sliding_window"] = .uint32(
      UInt32(config["sliding_window"] == nil ? 0 : try config.int("sliding_window")))
    if factors != nil {
      metadata["\(name).rope.scaling.attn_factor"] = .float32(Float(try magnitude()))
    }
    return metadata
  }

  /// The factor of queries and keys, which grows with that of the context.
  private func magnitude() throws -> Double {
    if let given = RopeConfig.parameters(of: decoder.config).parameters["attention_factor"]?.double { return given }
    let original = decoder.rope.originalContext
    let factor = Double(try decoder.config.int("max_position_embeddings")) / original
    return factor > 1 ? (1 + log(factor) / log(original)).squareRoot() : 1
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    let (width, size) = (decoder.width, decoder.headSize)
    try decoder.embeddings(&all)
    if let factors {
      try all.computed("rope_factors_long.weight", factors.long)
      try all.computed("rope_factors_short.weight", factors.short)
    }
    for layer in 0..<decoder.layers {
      let (to, from) = ("blk.\(layer).", "model.layers.\(layer).")
      try decoder.norm(to + "attn_norm", from: from + "input_layernorm", &all)
      try all.matrix(
        to + "attn_qkv.weight", from: from + "self_attn.qkv_proj.weight",
        outputs: (decoder.heads + 2 * decoder.keyHeads) * size, inputs: width)
      try all.matrix(
        to + "attn_output.weight", from: from + "self_attn.o_proj.weight", outputs: width, inputs: decoder.queryWidth)
      try decoder.norm(to + "ffn_norm", from: from + "post_attention_layernorm", &all)
      try all.matrix(
        to + "ffn_up.weight", from: from + "mlp.gate_up_proj.weight", outputs: 2 * decoder.feedForward, inputs: width)
      try all.matrix(
        to + "ffn_down.weight", from: from + "mlp.down_proj.weight", outputs: width, inputs: decoder.feedForward)
    }
    try decoder.head(&all)
  }
}
