import Files
import GGUF

/// Olmo2ForCausalLM and Olmo3ForCausalLM: norms of the outputs of attention and feed-forward network, none of their
/// inputs, and norms over the queries and keys of all heads. Three of four layers of Olmo 3 have a sliding window.
struct Olmo2Checkpoint: CheckpointArchitecture {
  static let names = ["Olmo2ForCausalLM", "Olmo3ForCausalLM"]
  static let ggufName = "olmo2"
  static let defaults: [String: JSONValue] = ["rms_norm_eps": .number(1e-5)]
  static let keys = KeyTable.dense.adding(
    KeyTable(
      honoured: ["layer_types", "sliding_window"],
      rules: [
        .rope(RopeForms(hasKinds: true)), kinds, slidingRotation,
        .none(
          "attention_bias", "mlp_bias", "qkv_bias", "use_sliding_window"),
        .only("qk_norm", "use_qk_norm", "qk_layernorm", are: .bool(true)), headSize,
      ]))

  private static let kinds = KeyRule("layer_types") { config, gguf in
    let kinds = config["layer_types"].map { $0.array ?? [$0] } ?? []
    if let other = kinds.first(where: { $0.string != "full_attention" && $0.string != "sliding_attention" }) {
      return [RefusedKey("layer_types", other.text, "a GGUF of \(gguf) has full and sliding attention")]
    }
    guard !kinds.isEmpty, kinds.count != config["num_hidden_layers"]?.int else { return [] }
    return [RefusedKey("layer_types", "\(kinds.count) kinds", "num_hidden_layers is another number")]
  }

  /// Readers rotate layers with a window by the base of the others, without its scaling.
  private static let slidingRotation = KeyRule { config, gguf in
    let (name, parameters) = RopeConfig.outerParameters(of: config)
    guard let sliding = parameters["sliding_attention"], sliding != .null else { return [] }
    let full = parameters["full_attention"]?["rope_theta"]?.double ?? config["rope_theta"]?.double
    let isEqual = sliding["rope_theta"] == nil || sliding["rope_theta"]?.double == full
    guard RopeConfig.type(of: sliding) != "default" || !isEqual else { return [] }
    return [
      RefusedKey(
        "\(name).sliding_attention", sliding.text, "a GGUF of \(gguf) has the other layers' base and no scaling")
    ]
  }

  private static let headSize = KeyRule("head_dim") { config, gguf in
    guard let size = config["head_dim"]?.int, let heads = config["num_attention_heads"]?.int,
      let width = config["hidden_size"]?.int, heads > 0, size * heads != width
    else { return [] }
    return [
      RefusedKey(
        "head_dim", "\(size)", "a GGUF of \(gguf) means hidden_size over num_attention_heads", shapesTensors: true)
    ]
  }

  private let decoder: DecoderConfig

  init(config: Config) throws {
    // The defaults of the two configuration classes differ.
    let hasWindow = try config.architecture == Self.names[1]
    decoder = try DecoderConfig(config, theta: hasWindow ? 500_000 : 10_000)
    if hasWindow, config["sliding_window"] == nil {
      throw FormatError(path: config.path, subject: "key sliding_window", "is missing")
    }
  }

  func hyperparameters() throws -> Metadata {
    let (name, config) = (Self.ggufName, decoder.config)
    var metadata = try decoder.keys(name)
    if config["head_dim"] != nil { metadata.merge(decoder.headKeys(name)) { $1 } }
    if let theta = RopeConfig.outerParameters(of: config).parameters["sliding_attention"]?["rope_theta"]?.double {
      metadata["\(name).rope.freq_base_swa"] = .float32(Float(theta))
    }
    if config["sliding_window"] != nil {
      metadata["\(name).attention.sliding_window"] = .uint32(UInt32(try config.int("sliding_window")))
      let kinds = config["layer_types"]?.array?.map { $0.string == "sliding_attention" }
      metadata["\(name).attention.sliding_window_pattern"] = .array(
        .bool(kinds ?? (1...decoder.layers).map { $0 % 4 != 0 }))
    }
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      let (to, from) = ("blk.\(layer).", "model.layers.\(layer).")
      try decoder.projections(layer: layer, norms: .allHeads, &all)
      try decoder.norm(to + "post_attention_norm", from: from + "post_attention_layernorm", &all)
      try decoder.feedForward(layer: layer, &all)
      try decoder.norm(to + "post_ffw_norm", from: from + "post_feedforward_layernorm", &all)
    }
    try decoder.head(&all)
  }
}
