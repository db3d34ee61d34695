import GGUF

/// Gemma3ForCausalLM and ForConditionalGeneration. Five layers with a sliding window are followed by one with full
/// attention; the weights of norms are differences from 1.
struct Gemma3Checkpoint: CheckpointArchitecture {
  static let names = ["Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"]
  static let ggufName = "gemma3"
  static let isNested = true
  // Published files leave out what the configuration class has as a default.
  static let defaults: [String: JSONValue] = [
    "vocab_size": .int(262_208), "hidden_size": .int(2304), "intermediate_size": .int(9216),
    "num_hidden_layers": .int(26), "num_attention_heads": .int(8), "num_key_value_heads": .int(4),
    "head_dim": .int(256), "max_position_embeddings": .int(131_072), "rms_norm_eps": .number(1e-6),
    "sliding_window": .int(4096), "query_pre_attn_scalar": .int(256), "tie_word_embeddings": .bool(true),
  ]
  static let keys = KeyTable.dense.adding(GemmaConfig.keys).adding(
    KeyTable(
      honoured: ["query_pre_attn_scalar", "sliding_window_pattern"],
      rules: [
        .rope(RopeForms(hasKinds: true)), scaling, pattern, scoreScale,
        .only("sliding_window_pattern", are: .int(GemmaConfig.period)),
        storedPattern,
      ]))

  private let gemma: GemmaConfig

  init(config: Config) throws {
    var gemma = try GemmaConfig(config, headSize: try config.int("head_dim"))
    gemma.decoder.normTransform = .plusOne
    self.gemma = gemma
  }

  func hyperparameters() throws -> Metadata {
    try gemma.keys(Self.ggufName).merging(gemma.decoder.headKeys(Self.ggufName)) { $1 }
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    let decoder = gemma.decoder
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      let (to, from) = ("blk.\(layer).", "model.layers.\(layer).self_attn.")
      try gemma.norms(layer: layer, &all)
      for (name, source, outputs, inputs) in [
        ("attn_q", "q_proj", decoder.queryWidth, decoder.width),
        ("attn_k", "k_proj", decoder.keyHeads * decoder.headSize, decoder.width),
        ("attn_v", "v_proj", decoder.keyHeads * decoder.headSize, decoder.width),
        ("attn_output", "o_proj", decoder.width, decoder.queryWidth),
      ] {
        try all.matrix(to + name + ".weight", from: from + source + ".weight", outputs: outputs, inputs: inputs)
      }
      for letter in ["q", "k"] {
        try gemma.norm(to + "attn_\(letter)_norm", from: from + "\(letter)_norm", count: decoder.headSize, &all)
      }
      try decoder.feedForward(layer: layer, &all)
    }
    try decoder.head(&all)
  }

  /// Positions of full attention may be scaled linearly.
  private static let scaling = KeyRule { config, gguf in
    let (name, parameters) = RopeConfig.parameters(of: config)
    let type = RopeConfig.type(of: parameters)
    guard !["default", "linear"].contains(type) else { return [] }
    return [RefusedKey("\(name).rope_type", type, "a GGUF of \(gguf) has default and linear")]
  }

  private static let pattern = KeyRule("layer_types") { config, gguf in
    let kinds = config["layer_types"]?.array ?? []
    let other = kinds.enumerated().first { index, kind in
      (kind.string == GemmaConfig.kinds.sliding) != ((index + 1) % GemmaConfig.period != 0)
    }
    return other.map { index, kind in
      [
        RefusedKey(
          "layer_types", "\(kind.text) in layer \(index)",
          "a GGUF of \(gguf) has full attention in every \(GemmaConfig.period)th layer")
      ]
    } ?? []
  }

  /// The factor of scores, which readers derive: from the size of a head or, for the model of 27B with its 62 layers,
  /// from the width for each head.
  private static let scoreScale = KeyRule("query_pre_attn_scalar") { config, gguf in
    guard let given = config["query_pre_attn_scalar"], let width = config["hidden_size"]?.int,
      let heads = config["num_attention_heads"]?.int, heads > 0
    else { return [] }
    let expected = config["num_hidden_layers"]?.int == 62 ? width / heads : config["head_dim"]?.int ?? 256
    guard given.double != Double(expected) else { return [] }
    return [RefusedKey("query_pre_attn_scalar", given.text, "a GGUF of \(gguf) of this shape means \(expected)")]
  }
}

extension Gemma3Checkpoint {
  /// The name under which `transformers` stores the period of layers with full attention, which `layer_types` replaces.
  fileprivate static let storedPattern = KeyRule("_sliding_window_pattern") { config, gguf in
    guard config["layer_types"] == nil, let value = config["_sliding_window_pattern"],
      !value.equals(.int(GemmaConfig.period))
    else { return [] }
    return [RefusedKey("_sliding_window_pattern", value.text, "a GGUF of \(gguf) means \(GemmaConfig.period)")]
  }
}
