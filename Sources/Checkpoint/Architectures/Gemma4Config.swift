import Files
import GGUF

/// The values of Gemma 4's configuration that Gemma 3 lacks.
struct Gemma4Config: Sendable {
  /// The size of a head in layers of full attention.
  let fullHeadSize: Int
  /// Key heads in layers of full attention; nil for as many as in the others.
  let fullKeyHeads: Int?
  let usesKeysAsValues: Bool
  /// The first layer that uses the keys and values of earlier layers.
  let firstShared: Int
  /// Whether the layers without keys have feed-forward networks of twice the width.
  let isDoubleWide: Bool
  /// Elements of a layer's inputs from tokens; 0 without them.
  let inputSize: Int
  let inputVocabulary: Int
  let experts: Experts?
  /// The divisors of the frequencies in layers of full attention: 1 for those that rotate, and so large a number for the
  /// others that they do not.
  let rotationFactors: [Float]
  private let width: Int

  init(_ config: Config, _ gemma: GemmaConfig) throws {
    let layers = gemma.decoder.layers
    width = gemma.decoder.feedForward
    let full = gemma.isSliding.firstIndex(of: false)
    let override = full.flatMap { Self.layerConfigs(config["per_layer_config"])?[$0] }
    func value(_ key: String, _ inner: String) throws -> Int? {
      if config[key] != nil { return try config.int(key) }
      guard let given = override?[inner], given != .null else { return nil }
      guard let number = given.int, number > 0, number <= 1 << 20 else {
        throw FormatError(path: config.path, subject: "key per_layer_config", "has \(inner) \(given.text)")
      }
      return number
    }
    fullHeadSize = try value("global_head_dim", "head_dim") ?? (override == nil ? 512 : gemma.decoder.headSize)
    usesKeysAsValues = config["attention_k_eq_v"]?.isTrue ?? false
    // The class ignores the key unless keys are used as values.
    let ownKeyHeads = usesKeysAsValues || config["num_global_key_value_heads"] == nil
    fullKeyHeads = ownKeyHeads ? try value("num_global_key_value_heads", "num_key_value_heads") : nil
    let shared = try config.count("num_kv_shared_layers", default: 0)
    firstShared = layers - shared
    isDoubleWide = config["use_double_wide_mlp"]?.isTrue ?? false
    inputSize =
      config["hidden_size_per_layer_input"] == nil ? 0 : try config.count("hidden_size_per_layer_input", default: 0)
    inputVocabulary = try config.int("vocab_size_per_layer_input")
    experts = config["enable_moe_block"]?.isTrue ?? false ? try Experts(config) : nil
    let factor = RopeConfig.parameters(of: config).parameters["partial_rotary_factor"]?.double ?? 1
    guard factor > 0, factor <= 1, fullHeadSize % 2 == 0 else {
      throw FormatError(
        path: config.path, subject: "key rope_parameters.full_attention.partial_rotary_factor",
        "is \(factor), for heads of \(fullHeadSize) elements")
    }
    let rotating = Int(Double(fullHeadSize) * factor / 2)
    rotationFactors =
      Array(repeating: 1, count: rotating) + Array(repeating: 1e30, count: fullHeadSize / 2 - rotating)
  }

  /// The entries of `per_layer_config` by layer; nil where a key is not the index of one. `transformers` fills indices
  /// with zeros: "05".
  static func layerConfigs(_ value: JSONValue?) -> [Int: JSONValue]? {
    guard let entries = value?.object else { return nil }
    let layers = entries.compactMap { key, value in
      key.allSatisfy { $0.isASCII && $0.isNumber } ? Int(key).map { ($0, value) } : nil
    }
    let result = Dictionary(layers) { first, _ in first }
    return result.count == entries.count ? result : nil
  }

  func feedForward(_ layer: Int) -> Int { isDoubleWide && layer >= firstShared ? 2 * width : width }

  /// The experts of every layer, beside its dense network.
  struct Experts: Sendable {
    let count: Int
    let used: Int
    let width: Int

    init(_ config: Config) throws {
      count = try config.int("num_experts", maximum: 1 << 16)
      used = try config.int("top_k_experts", maximum: count)
      width = try config.int("moe_intermediate_size")
    }

    /// Adds the router with its scales, the experts, and the norms of both networks.
    func collectTensors(layer: Int, _ gemma: GemmaConfig, _ all: inout TensorCollector) throws {
      let (to, from, inputs) = ("blk.\(layer).", "model.layers.\(layer).", gemma.decoder.width)
      try all.exactMatrix(
        to + "ffn_gate_inp.weight", from: from + "router.proj.weight", outputs: count, inputs: inputs)
      try all.vector(to + "ffn_gate_inp.scale", from: from + "router.scale", count: inputs)
      try all.vector(to + "ffn_down_exps.scale", from: from + "router.per_expert_scale", count: count)
      try all.part(
        to + "ffn_gate_up_exps.weight", [inputs, 2 * width, count],
        .whole(from + "experts.gate_up_proj", shape: [count, 2 * width, inputs]))
      try all.part(
        to + "ffn_down_exps.weight", [width, inputs, count],
        .whole(from + "experts.down_proj", shape: [count, inputs, width]))
      for (name, source) in [
        ("post_ffw_norm_1", "post_feedforward_layernorm_1"), ("post_ffw_norm_2", "post_feedforward_layernorm_2"),
        ("pre_ffw_norm_2", "pre_feedforward_layernorm_2"),
      ] {
        try gemma.norm(to + name, from: from + source, &all)
      }
    }
  }
}
