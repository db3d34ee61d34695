import Files
import GGUF

/// The configuration that Gemma 3 and 4 share: layers with a sliding window and layers of full attention, each kind
/// with a rotation, and norms of the outputs of attention and feed-forward network.
struct GemmaConfig: Sendable {
  var decoder: DecoderConfig
  /// Whether each layer has a sliding window.
  let isSliding: [Bool]
  let slidingWindow: Int

  /// The kinds in `layer_types`.
  static let kinds = (full: "full_attention", sliding: "sliding_attention")
  /// One layer of this many has full attention, the last.
  static let period = 6

  /// - Parameter headSize: the size of a head in layers with a sliding window.
  init(_ config: Config, headSize: Int) throws {
    decoder = try DecoderConfig(config, headSize: headSize, theta: 1_000_000)
    slidingWindow = try config.int("sliding_window")
    let kinds = config["layer_types"]?.array?.compactMap(\.string)
    guard kinds == nil || kinds?.count == decoder.layers else {
      throw FormatError(
        path: config.path, subject: "key layer_types",
        "has \(kinds?.count ?? 0) entries for \(decoder.layers) layers")
    }
    isSliding =
      kinds?.map { $0 == Self.kinds.sliding } ?? (0..<decoder.layers).map { ($0 + 1) % Self.period != 0 }
  }

  /// Whether a layer of an unchecked configuration has full attention.
  static func hasFullAttention(_ layer: Int, _ config: Config) -> Bool {
    guard let listed = config["layer_types"]?.array else { return (layer + 1) % period == 0 }
    return layer < listed.count && listed[layer].string == kinds.full
  }

  /// The keys of both kinds of layers.
  func keys(_ name: String) throws -> Metadata {
    var metadata = try decoder.keys(name)
    metadata["\(name).rope.freq_base_swa"] = .float32(Float(try decoder.config.slidingTheta))
    metadata["\(name).attention.sliding_window"] = .uint32(UInt32(slidingWindow))
    let cap = "final_logit_softcapping"
    if let given = decoder.config[cap], given.double != 0 {
      metadata["\(name).\(cap)"] = .float32(Float(try decoder.config.positive(cap)))
    }
    return metadata
  }

  /// Adds a norm.
  func norm(_ name: String, from source: String, count: Int? = nil, _ all: inout TensorCollector) throws {
    try all.vector(
      name + ".weight", from: source + ".weight", count: count ?? decoder.width, transform: decoder.normTransform)
  }

  /// Adds the norms of a layer's inputs and outputs.
  func norms(layer: Int, _ all: inout TensorCollector) throws {
    for (name, source) in [
      ("attn_norm", "input_layernorm"), ("post_attention_norm", "post_attention_layernorm"),
      ("ffn_norm", "pre_feedforward_layernorm"), ("post_ffw_norm", "post_feedforward_layernorm"),
    ] {
      try norm("blk.\(layer).\(name)", from: "model.layers.\(layer).\(source)", &all)
    }
  }
}

extension Config {
  /// The base of the rotation in layers with a sliding window, in the newer or the older form.
  fileprivate var slidingTheta: Double {
    get throws {
      guard let (key, value) = slidingBase else {
        return self["rope_local_base_freq"] == nil ? 10_000 : try positive("rope_local_base_freq")
      }
      guard let theta = value.double, Float(theta) > 0, Float(theta).isFinite else {
        throw FormatError(path: path, subject: "key \(key)", "is \(value.text), not a positive number")
      }
      return theta
    }
  }

  /// The same base in the newer form, with the name of its key.
  fileprivate var slidingBase: (key: String, value: JSONValue)? {
    let kind = GemmaConfig.kinds.sliding
    let (name, kinds) = RopeConfig.outerParameters(of: self)
    for (name, kinds) in [(name, kinds), ("rope_parameters", self["rope_parameters"] ?? .null)] {
      if let value = kinds[kind]?["rope_theta"], value != .null { return ("\(name).\(kind).rope_theta", value) }
    }
    return nil
  }
}

extension GemmaConfig {
  /// The older form of the base, which the newer one replaces.
  static let olderSlidingBase = KeyRule("rope_local_base_freq") { config, _ in
    guard let given = config["rope_local_base_freq"], let (key, value) = config.slidingBase, !value.equals(given)
    else { return [] }
    return [RefusedKey("rope_local_base_freq", given.text, "\(key) is \(value.text)")]
  }
}
