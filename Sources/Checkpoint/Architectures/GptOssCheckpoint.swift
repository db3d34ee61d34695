import Files
import GGUF
import Tensors

/// GptOssForCausalLM: experts with biases, usually in MXFP4; attention with sinks, and with a window in every second layer.
struct GptOssCheckpoint: CheckpointArchitecture {
  static let names = ["GptOssForCausalLM"]
  static let ggufName = "gpt-oss"
  // Readers of gpt-oss need a bias of every matrix, and compute the experts' activation with constants.
  static let keys = KeyTable.plainExperts.adding(
    KeyTable(
      // swiglu_limit has a rule below instead of the shared one.
      honoured: ["sliding_window", "layer_types", "swiglu_limit"],
      // Aliases of honoured keys.
      harmless: ["experts_per_token"],
      rules: [
        .only("attention_bias", are: .bool(true)), .only("swiglu_limit", are: .number(7)),
        .only("swiglu_alpha", are: .number(1.702)), windows, rotation, context,
        .rope(RopeForms(isRamped: true)),
        .none("mlp_bias", "qkv_bias", "qk_norm", "use_qk_norm", "qk_layernorm", "use_sliding_window"),
      ]))

  /// A window is a positive number of tokens; layers have it or not.
  private static let windows = KeyRule("sliding_window", "layer_types") { config, gguf in
    var refused: [RefusedKey] = []
    if config.has("sliding_window"), config["sliding_window"]?.int ?? 0 <= 0 {
      refused.append(
        RefusedKey("sliding_window", config["sliding_window"]?.text ?? "null", "a GGUF of \(gguf) has a window"))
    }
    if let kinds = config["layer_types"] {
      let names = kinds.array ?? [kinds]
      let known: [JSONValue] = [.string("full_attention"), .string("sliding_attention")]
      if let other = names.first(where: { !known.contains($0) }) {
        refused.append(RefusedKey("layer_types", other.text, "a GGUF of \(gguf) has full and sliding attention"))
      } else if names.count != config["num_hidden_layers"]?.int {
        refused.append(RefusedKey("layer_types", "\(names.count) kinds", "num_hidden_layers is another number"))
      } else if let (layer, kind) = names.enumerated().first(where: { layer, kind in
        (kind == known[1]) != layer.isMultiple(of: 2)
      }) {
        // Files may list the layers since September 2026, but earlier readers ignore the list.
        refused.append(
          RefusedKey(
            "layer_types", "\(kind.text) in layer \(layer)",
            "readers of \(gguf) give layers 0, 2, 4 and so on a window, and no others"))
      }
    }
    return refused
  }

  /// The default of the configuration class is YaRN, not plain rotation.
  private static let rotation = KeyRule { config, gguf in
    guard RopeConfig.outerParameters(of: config).parameters.object == nil else { return [] }
    return [RefusedKey("rope_parameters", "absent, which means YaRN", "the key has its factor")]
  }

  /// Another name of the length of texts from which YaRN extends.
  private static let context = KeyRule("initial_context_length") { config, _ in
    let key = "original_max_position_embeddings"
    let (name, parameters) = RopeConfig.parameters(of: config)
    let (path, used) = config[key].map { (key, $0) } ?? ("\(name).\(key)", parameters[key] ?? .null)
    guard let given = config["initial_context_length"], used != .null, !used.equals(given) else { return [] }
    return [RefusedKey("initial_context_length", given.text, "\(path) is \(used.text)")]
  }

  private let decoder: DecoderConfig
  private let experts: Int
  private let expertsUsed: Int
  private let isPacked: Bool

  init(config: Config) throws {
    decoder = try DecoderConfig(
      config, headSize: try config.int("head_dim", default: 64), keyHeads: 8, theta: 150_000)
    experts = try config.int(config["num_experts"] != nil ? "num_experts" : "num_local_experts", maximum: 1 << 16)
    expertsUsed = try config.int("num_experts_per_tok", maximum: experts)
    isPacked = try QuantizationConfig(config).method == "mxfp4"
  }

  func hyperparameters() throws -> Metadata {
    var metadata = try decoder.keys("gpt-oss")
    metadata.merge(decoder.headKeys("gpt-oss")) { $1 }
    metadata["gpt-oss.attention.sliding_window"] = .uint32(
      UInt32(try decoder.config.int("sliding_window", default: 128)))
    metadata["gpt-oss.expert_count"] = .uint32(UInt32(experts))
    metadata["gpt-oss.expert_used_count"] = .uint32(UInt32(expertsUsed))
    metadata["gpt-oss.expert_feed_forward_length"] = .uint32(UInt32(decoder.feedForward))
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      let (to, from) = ("blk.\(layer).", "model.layers.\(layer).")
      try decoder.attention(
        layer: layer, interleaved: false, inputBias: .expected, outputBias: .expected,
        feedForwardNorm: "post_attention_norm", &all)
      try all.vector(to + "attn_sinks.weight", from: from + "self_attn.sinks", count: decoder.heads)
      try all.exactMatrix(
        to + "ffn_gate_inp.weight", from: from + "mlp.router.weight", outputs: experts, inputs: decoder.width)
      try all.vector(to + "ffn_gate_inp.bias", from: from + "mlp.router.bias", count: experts)
      try collectExperts(to, from + "mlp.experts.", &all)
    }
    try decoder.head(&all)
  }

  /// Rows of gate and up alternate. Weights that are not packed are stored transposed.
  private func collectExperts(_ to: String, _ from: String, _ all: inout TensorCollector) throws {
    let (width, inner) = (decoder.width, decoder.feedForward)
    let joint = from + "gate_up_proj"
    let down = from + "down_proj"
    let isPacked = all.prefers(joint + "_blocks", expected: isPacked)
    let type: GGMLType? = isPacked ? .mxfp4 : nil
    for (key, value) in [("hidden_size", width), ("intermediate_size", inner)] where isPacked && value % 32 != 0 {
      throw FormatError(
        path: decoder.config.path, subject: "key \(key)", "is \(value), but blocks of MXFP4 have 32 columns")
    }
    for (name, first) in [("ffn_gate_exps", 0), ("ffn_up_exps", 1)] {
      try all.part(
        to + name + ".weight", [width, inner, experts],
        isPacked
          ? .everySecondRow(joint + "_blocks", shape: [experts, 2 * inner, width], first: first)
          : .transposedColumns(joint, shape: [experts, width, 2 * inner], first: first, count: inner, every: 2),
        type: type)
      try all.part(
        to + name + ".bias", [inner, experts],
        .everySecondColumn(joint + "_bias", shape: [experts, 2 * inner], first: first), isExact: true)
    }
    try all.part(
      to + "ffn_down_exps.weight", [inner, width, experts],
      isPacked
        ? .whole(down + "_blocks", shape: [experts, width, inner])
        : .transposed(down, shape: [experts, inner, width], first: 0, count: inner, every: inner), type: type)
    try all.part(
      to + "ffn_down_exps.bias", [width, experts], .whole(down + "_bias", shape: [experts, width]), isExact: true)
  }
}
