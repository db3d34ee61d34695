import Files
import GGUF

/// Gemma4ForCausalLM and ForConditionalGeneration. Layers of full attention have heads, key heads and a rotation of
/// their own, and may use keys as values.
struct Gemma4Checkpoint: CheckpointArchitecture {
  static let names = ["Gemma4ForConditionalGeneration", "Gemma4ForCausalLM"]
  static let ggufName = "gemma4"
  static let isNested = true
  // Published files leave out what the configuration class has as a default.
  static let defaults: [String: JSONValue] = [
    "vocab_size": .int(262_144), "hidden_size": .int(2304), "intermediate_size": .int(9216),
    "num_hidden_layers": .int(30), "num_attention_heads": .int(8), "num_key_value_heads": .int(4),
    "head_dim": .int(256), "max_position_embeddings": .int(131_072), "rms_norm_eps": .number(1e-6),
    "sliding_window": .int(512), "tie_word_embeddings": .bool(true), "hidden_size_per_layer_input": .int(256),
    "vocab_size_per_layer_input": .int(262_144),
    "rope_parameters": .object([
      GemmaConfig.kinds.full: .object([
        "rope_type": .string("proportional"), "partial_rotary_factor": .number(0.25), "rope_theta": .number(1e6),
      ]),
      GemmaConfig.kinds.sliding: .object(["rope_type": .string("default"), "rope_theta": .number(1e4)]),
    ]),
  ]

  private let gemma: GemmaConfig
  private let shapes: Gemma4Config

  init(config: Config) throws {
    gemma = try GemmaConfig(config, headSize: try config.int("head_dim"))
    shapes = try Gemma4Config(config, gemma)
  }

  func hyperparameters() throws -> Metadata {
    let name = Self.ggufName
    let decoder = gemma.decoder
    func number(_ value: Int) -> MetadataValue { .uint32(UInt32(value)) }
    func numbers(_ values: [Int]) -> MetadataValue { .array(.int32(values.map(Int32.init))) }
    var metadata = try gemma.keys(name)
    for (key, size) in [("", shapes.fullHeadSize), ("_swa", decoder.headSize)] {
      metadata["\(name).attention.key_length\(key)"] = number(size)
      metadata["\(name).attention.value_length\(key)"] = number(size)
      metadata["\(name).rope.dimension_count\(key)"] = number(size)
    }
    metadata["\(name).attention.sliding_window_pattern"] = .array(.bool(gemma.isSliding))
    metadata["\(name).attention.shared_kv_layers"] = number(decoder.layers - shapes.firstShared)
    metadata["\(name).embedding_length_per_layer_input"] = number(shapes.inputSize)
    if let fullKeyHeads = shapes.fullKeyHeads {
      metadata["\(name).attention.head_count_kv"] = numbers(
        gemma.isSliding.map { $0 ? decoder.keyHeads : fullKeyHeads })
    }
    if shapes.isDoubleWide {
      metadata["\(name).feed_forward_length"] = numbers((0..<decoder.layers).map(shapes.feedForward))
    }
    if let experts = shapes.experts {
      metadata["\(name).expert_count"] = number(experts.count)
      metadata["\(name).expert_used_count"] = number(experts.used)
      metadata["\(name).expert_feed_forward_length"] = number(experts.width)
    }
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    let decoder = gemma.decoder
    try all.computed("rope_freqs.weight", shapes.rotationFactors)
    try decoder.embeddings(&all)
    if shapes.inputSize > 0 {
      let width = shapes.inputSize * decoder.layers
      try all.matrix(
        "per_layer_token_embd.weight", from: "model.embed_tokens_per_layer.weight", outputs: shapes.inputVocabulary,
        inputs: width)
      try all.matrix(
        "per_layer_model_proj.weight", from: "model.per_layer_model_projection.weight", outputs: width,
        inputs: decoder.width)
      try gemma.norm("per_layer_proj_norm", from: "model.per_layer_projection_norm", count: shapes.inputSize, &all)
    }
    for layer in 0..<decoder.layers {
      try gemma.norms(layer: layer, &all)
      try attention(layer, &all)
      try decoder.feedForward(layer: layer, width: shapes.feedForward(layer), &all)
      try shapes.experts?.collectTensors(layer: layer, gemma, &all)
      try others(layer, &all)
    }
    try decoder.head(&all)
  }

  /// Adds the matrices and head norms of a layer's attention. Layers that use others' keys may have stored ones, which
  /// are kept as the reference converter does.
  private func attention(_ layer: Int, _ all: inout TensorCollector) throws {
    let decoder = gemma.decoder
    let (to, from) = ("blk.\(layer).", "model.layers.\(layer).self_attn.")
    let isSliding = gemma.isSliding[layer]
    let size = isSliding ? decoder.headSize : shapes.fullHeadSize
    let keyWidth = size * (isSliding ? decoder.keyHeads : shapes.fullKeyHeads ?? decoder.keyHeads)
    let hasKeys = layer < shapes.firstShared
    let hasValues = hasKeys && (isSliding || !shapes.usesKeysAsValues)
    for (name, source, outputs, isExpected) in [
      ("attn_q", "q_proj", decoder.heads * size, true), ("attn_k", "k_proj", keyWidth, hasKeys),
      ("attn_v", "v_proj", keyWidth, hasValues),
    ] where all.has(from + source + ".weight", expected: isExpected) {
      try all.matrix(
        to + name + ".weight", from: from + source + ".weight", outputs: outputs, inputs: decoder.width)
    }
    try all.matrix(
      to + "attn_output.weight", from: from + "o_proj.weight", outputs: decoder.width, inputs: decoder.heads * size)
    try gemma.norm(to + "attn_q_norm", from: from + "q_norm", count: size, &all)
    if all.has(from + "k_norm.weight", expected: hasKeys) {
      try gemma.norm(to + "attn_k_norm", from: from + "k_norm", count: size, &all)
    }
  }

  /// Adds the factor of a layer's output, and the matrices of its inputs from tokens.
  private func others(_ layer: Int, _ all: inout TensorCollector) throws {
    let (to, from, width) = ("blk.\(layer).", "model.layers.\(layer).", gemma.decoder.width)
    try all.vector(to + "layer_output_scale.weight", from: from + "layer_scalar", count: 1)
    guard shapes.inputSize > 0 else { return }
    try all.matrix(
      to + "inp_gate.weight", from: from + "per_layer_input_gate.weight", outputs: shapes.inputSize, inputs: width)
    try all.matrix(
      to + "proj.weight", from: from + "per_layer_projection.weight", outputs: width, inputs: shapes.inputSize)
    try gemma.norm(to + "post_norm", from: from + "post_per_layer_input_norm", &all)
  }
}
