import GGUF

/// MuseGlimmerForConditionalGeneration: three layers with a sliding window and a rotation, then one with full attention
/// and none; gated attention; norms of inputs and outputs, whose weights are differences from 1.
struct MuseGlimmerCheckpoint: CheckpointArchitecture {
  static let names = ["MuseGlimmerForConditionalGeneration"]
  static let ggufName = "muse-glimmer"
  static let isNested = true
  static let defaults: [String: JSONValue] = [
    "sliding_window": .int(2048), "final_logit_softcapping": .number(20), "qk_scale_factor": .number(3.87),
    "output_multiplier": .number(0.19611613513818404), "num_key_value_heads": .int(2), "head_dim": .int(128),
    "rms_norm_eps": .number(1e-5),
  ]
  static let keys = KeyTable.dense.adding(
    KeyTable(
      honoured: [
        "sliding_window", "layer_types", "final_logit_softcapping", "qk_scale_factor", "output_multiplier",
        "layer_rope_theta",
      ],
      // The tower, and the projection of its outputs.
      harmless: ["out_hidden_size", "projector_hidden_size", "projector_hidden_act"],
      rules: [
        .rope(), rotations, .only("post_norm_eps", are: .number(1e-8)),
        .none("use_sliding_window", "attention_bias", "mlp_bias", "qkv_bias"),
        .only("qk_norm", "use_qk_norm", "qk_layernorm", are: .bool(true)),
      ]))

  /// Readers rotate layers with a window, by one base, and no others.
  private static let rotations = KeyRule("layer_rope_theta") { config, gguf in
    guard let bases = config["layer_rope_theta"]?.array else { return [] }
    let isSliding = Self.isSliding(config, layers: bases.count)
    let theta = RopeConfig.parameters(of: config).parameters["rope_theta"]?.double ?? config["rope_theta"]?.double
    let other = bases.enumerated().first { index, base in
      index >= isSliding.count || base.double != (isSliding[index] ? theta ?? 10_000 : 0)
    }
    return other.map { index, base in
      [
        RefusedKey(
          "layer_rope_theta", "\(base.text) in layer \(index)",
          "a GGUF of \(gguf) rotates layers with a window, all by rope_theta")
      ]
    } ?? []
  }

  /// Whether each layer has a window; by default all except every fourth, counted from the last.
  private static func isSliding(_ config: Config, layers: Int) -> [Bool] {
    config["layer_types"]?.array?.map { $0.string == "sliding_attention" }
      ?? (0..<layers).map { (layers - 1 - $0) % 4 != 0 }
  }

  private let decoder: DecoderConfig
  private let queryScale: Float

  init(config: Config) throws {
    decoder = try DecoderConfig(config)
    queryScale = Float(try config.double("qk_scale_factor"))
  }

  func hyperparameters() throws -> Metadata {
    let (name, config) = (Self.ggufName, decoder.config)
    var metadata = try decoder.keys(name)
    metadata.merge(decoder.headKeys(name)) { $1 }
    metadata["\(name).final_logit_softcapping"] = .float32(Float(try config.positive("final_logit_softcapping")))
    metadata["\(name).logit_scale"] = .float32(Float(try config.double("output_multiplier")))
    metadata["\(name).attention.sliding_window"] = .uint32(UInt32(try config.int("sliding_window")))
    metadata["\(name).attention.sliding_window_pattern"] = .array(
      .bool(Self.isSliding(config, layers: decoder.layers)))
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    var layers = decoder
    layers.normTransform = .plusOne
    for layer in 0..<decoder.layers {
      let (to, from) = ("blk.\(layer).", "model.layers.\(layer).")
      for (name, source) in [
        ("attn_norm", "input_layernorm"), ("post_attention_norm", "post_attention_layernorm"),
        ("ffn_norm", "pre_feedforward_layernorm"), ("post_ffw_norm", "post_feedforward_layernorm"),
      ] {
        try layers.norm(to + name, from: from + source, &all)
      }
      try decoder.projections(layer: layer, interleaved: true, &all)
      try all.matrix(
        to + "attn_gate.weight", from: from + "self_attn.gate_proj.weight", outputs: decoder.queryWidth,
        inputs: decoder.width)
      // The factor of queries is the weight of their norm.
      for (letter, value) in [("q", queryScale), ("k", 1)] {
        try all.computed(
          to + "attn_\(letter)_norm.weight", [Float](repeating: value, count: decoder.headSize))
      }
      try decoder.feedForward(layer: layer, &all)
    }
    try decoder.head(&all)
  }
}
