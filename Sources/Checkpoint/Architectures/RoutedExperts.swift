import Files
import GGUF

/// The experts of layers whose router is DeepSeek V3's or a softmax, with the stored names of their tensors. Tokens may
/// have shared experts too.
struct RoutedExperts: Sendable {
  let count: Int
  let used: Int
  /// The width of an expert.
  let width: Int
  /// The width of all shared experts together; 0 without.
  var sharedWidth = 0
  var router = "mlp.gate.weight"
  /// The bias of scores for the choice of experts: its stored name, and that in a GGUF.
  var correction: (stored: String, name: String)? = ("mlp.gate.e_score_correction_bias", "exp_probs_b.bias")
  var experts = "mlp.experts."
  var parts = (gate: "gate_proj", up: "up_proj", down: "down_proj")
  var shared = "mlp.shared_experts."

  /// - Parameters:
  ///   - keys: the names of the number of experts; the first that is present counts.
  ///   - used: the name of the number of experts for a token.
  ///   - width: the name of an expert's width.
  init(
    _ config: Config, count keys: String..., used: String = "num_experts_per_tok",
    width: String = "moe_intermediate_size"
  ) throws {
    count = try config.int(keys.first { config[$0] != nil } ?? keys[0], maximum: 1 << 16)
    self.used = try config.int(used, maximum: count)
    self.width = try config.int(width)
  }

  /// The keys that all mixtures have.
  func keys(_ name: String) -> Metadata {
    [
      "\(name).expert_count": .uint32(UInt32(count)), "\(name).expert_used_count": .uint32(UInt32(used)),
      "\(name).expert_feed_forward_length": .uint32(UInt32(width)),
    ]
  }

  /// Adds the router, the experts, which are stored each or stacked, and the shared experts of one layer.
  func collectTensors(layer: Int, _ decoder: DecoderConfig, _ all: inout TensorCollector) throws {
    let (to, from, inputs) = ("blk.\(layer).", "model.layers.\(layer).", decoder.width)
    try all.exactMatrix(to + "ffn_gate_inp.weight", from: from + router, outputs: count, inputs: inputs)
    if let correction {
      try all.vector(to + correction.name, from: from + correction.stored, count: count)
    }
    let stacked = from + experts + "gate_up_proj"
    if all.prefers(stacked, expected: false) {
      try all.stackedExperts(to, from: from + experts, count: count, width: width, inputs: inputs)
    } else {
      try decoder.experts(layer: layer, count: count, width: width, from: experts, parts: parts, &all)
    }
    if sharedWidth > 0 {
      try decoder.feedForward(layer: layer, from: shared, to: "_shexp", width: sharedWidth, &all)
    }
  }
}

extension KeyTable {
  /// The keys of experts whose weights are sigmoids (DeepSeek V3, arXiv 2412.19437).
  static let sigmoidExperts = KeyTable(
    honoured: [
      "num_experts_per_tok", "num_local_experts", "num_experts", "n_routed_experts", "moe_intermediate_size",
      "n_shared_experts", "routed_scaling_factor", "n_group", "topk_group", "first_k_dense_replace", "norm_topk_prob",
    ],
    // transformers derives it from first_k_dense_replace.
    rules: [
      .only("scoring_func", "score_func", are: .string("sigmoid")), .only("topk_method", are: .string("noaux_tc")),
      .only("moe_layer_freq", are: .int(1)), .densePrefix,
    ])
}

extension KeyRule {
  /// Dense layers come before all layers with experts.
  static let densePrefix = KeyRule("mlp_layer_types") { config, gguf in
    guard let kinds = config["mlp_layer_types"] else { return [] }
    let names = (kinds.array ?? [kinds]).map { $0.string ?? "" }
    let dense = names.prefix { $0 == "dense" }.count
    let declared = config["first_k_dense_replace"]?.int
    if names.dropFirst(dense).allSatisfy({ $0 == "sparse" }), declared ?? dense == dense { return [] }
    return [
      RefusedKey(
        "mlp_layer_types", kinds.text,
        "a GGUF of \(gguf) has \(declared.map { "\($0) " } ?? "")dense layers, then "
          + "layers with experts", shapesTensors: true)
    ]
  }
}

extension Config {
  /// Refuses a number of groups that does not divide the experts, more used groups than exist, and used groups with fewer
  /// experts than a token uses.
  func checkGroups(_ all: Int?, used: Int?, experts: Int) throws {
    func failure(_ key: String, _ reason: String) -> FormatError {
      FormatError(path: path, subject: "key \(title(key))", reason)
    }
    let groups = all ?? 1
    guard experts.isMultiple(of: groups) else {
      throw failure("n_group", "is \(groups), which does not divide \(experts) experts")
    }
    guard groups == 1 || experts / groups > 1 else {
      throw failure("n_group", "is \(groups), as many groups as experts")
    }
    guard used ?? 1 <= groups else {
      throw failure("topk_group", "is \(used ?? 1), of \(groups) \(groups == 1 ? "group" : "groups")")
    }
    if let used, let chosen = self["num_experts_per_tok"]?.int, chosen > used * (experts / groups) {
      throw failure(
        "num_experts_per_tok",
        "is \(chosen), but \(used) of \(groups) groups have \(used * (experts / groups)) experts")
    }
  }

  /// The factor of the experts' weights. Readers take 0 as a missing factor.
  func expertScale(_ key: String = "routed_scaling_factor") throws -> Float { Float(try positive(key)) }

  /// The number of dense layers before those with experts.
  ///
  /// - Parameter absent: the number if neither key is present.
  func denseLayers(absent: Int) throws -> Int {
    if self["first_k_dense_replace"] == nil, let kinds = self["mlp_layer_types"]?.array {
      return kinds.prefix { $0.string == "dense" }.count
    }
    return try count("first_k_dense_replace", default: absent)
  }
}
