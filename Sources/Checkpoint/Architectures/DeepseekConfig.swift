import Files
import GGUF

/// Hyperparameters and tensors common to models with latent attention: a few dense layers, then layers with routed and
/// shared experts.
struct DeepseekConfig: Sendable {
  let decoder: DecoderConfig
  private let config: Config
  /// GGUF's name of the architecture.
  private let name: String
  /// Blocks for multi-token prediction; nil if they are left out.
  let prediction: PredictionLayers?
  /// The selection of keys by an indexer; nil without.
  private let indexer: Indexer?
  private let queryRank: Int?
  private let latentRank: Int
  /// `qk_nope_head_dim` and `qk_rope_head_dim`.
  private let nopeSize: Int
  private let ropeSize: Int
  private let valueSize: Int
  private let denseLayers: Int
  private let experts: Int?
  private let expertsUsed: Int?
  private let expertWidth: Int
  private let sharedExperts: Int
  private let defaults: Defaults

  /// Values of missing keys, which differ between the configuration classes of V2 and V3.
  struct Defaults: Sendable {
    var queryRank = 1536
    let denseLayers: Int
    let sharedExperts: Int
    let groups: Int?
    let groupsUsed: Int?
    let scale: Double
    let normalizes: Bool
    var epsilon = 1e-6
    /// Gate and up of all experts are one tensor, in the checkpoint as in a GGUF.
    var hasJointExperts = false
  }

  /// - Parameters:
  ///   - name: GGUF's name of the architecture.
  ///   - carriesPrediction: whether a GGUF has the blocks for multi-token prediction.
  ///   - hasIndexer: whether an indexer selects the keys of attention.
  init(
    _ config: Config, _ defaults: Defaults, name: String = "deepseek2", carriesPrediction: Bool = false,
    hasIndexer: Bool = false
  ) throws {
    self.config = config
    self.defaults = defaults
    self.name = name
    nopeSize = try config.int("qk_nope_head_dim")
    ropeSize = try config.int("qk_rope_head_dim")
    guard ropeSize.isMultiple(of: 2) else {
      throw FormatError(path: config.path, subject: "key qk_rope_head_dim", "is \(ropeSize), an odd number")
    }
    valueSize = try config.int("v_head_dim")
    decoder = try DecoderConfig(config, headSize: nopeSize + ropeSize)
    prediction = carriesPrediction ? try PredictionLayers(config, layers: decoder.layers) : nil
    indexer = hasIndexer ? try Indexer(config, layers: decoder.layers) : nil
    queryRank =
      config["q_lora_rank"] == nil
      ? (config.has("q_lora_rank") ? nil : defaults.queryRank) : try config.int("q_lora_rank")
    latentRank = try config.int("kv_lora_rank")
    if config["n_routed_experts"] == nil {
      (experts, expertsUsed, denseLayers) = (nil, nil, decoder.layers)
    } else {
      let count = try config.int("n_routed_experts", maximum: 1 << 16)
      experts = count
      expertsUsed = try config.int("num_experts_per_tok", maximum: count)
      denseLayers = try config.denseLayers(absent: config.has("first_k_dense_replace") ? 0 : defaults.denseLayers)
    }
    expertWidth = try config.int("moe_intermediate_size", default: decoder.feedForward)
    sharedExperts = try config.count(
      "n_shared_experts", default: config.has("n_shared_experts") ? 0 : defaults.sharedExperts)
  }

  /// The number of expert groups, and of groups that a token uses; nil if the router's method ignores groups.
  private func groups() throws -> (all: Int?, used: Int?) {
    func count(_ key: String, default value: Int?) throws -> Int? {
      config[key] == nil ? (config.has(key) || experts == nil ? nil : value) : try config.int(key)
    }
    let (all, used) = (
      try count("n_group", default: defaults.groups), try count("topk_group", default: defaults.groupsUsed)
    )
    let isGreedy = (config["topk_method"]?.string ?? (defaults.groups == nil ? "greedy" : "")) == "greedy"
    return isGreedy && all ?? 1 > 1 ? (nil, nil) : (all, used)
  }

  /// - Parameter scoring: the default of a missing `scoring_func`.
  func keys(scoring defaultScoring: String?) throws -> Metadata {
    var metadata = try decoder.keys(name, isLatent: true, epsilon: defaults.epsilon)
    if let prediction { metadata.merge(prediction.keys(name)) { $1 } }
    if let indexer { metadata.merge(indexer.keys(name)) { $1 } }
    func set(_ key: String, _ value: Int?) {
      if let value { metadata["\(name).\(key)"] = .uint32(UInt32(value)) }
    }
    set("expert_count", experts)
    set("expert_used_count", expertsUsed)
    let groups = try groups()
    if let experts { try config.checkGroups(groups.all, used: groups.used, experts: experts) }
    set("expert_group_count", groups.all)
    set("expert_group_used_count", groups.used)
    if let scoring = config["scoring_func"]?.string ?? (experts == nil ? nil : defaultScoring) {
      set("expert_gating_func", scoring == "sigmoid" ? 2 : 1)
    }
    set("attention.key_length", latentRank + ropeSize)
    set("attention.value_length", latentRank)
    metadata["\(name).leading_dense_block_count"] = .uint32(UInt32(denseLayers))
    set("vocab_size", decoder.vocabulary)
    set("attention.q_lora_rank", queryRank)
    set("attention.kv_lora_rank", latentRank)
    set("attention.key_length_mla", nopeSize + ropeSize)
    set("attention.value_length_mla", valueSize)
    set("expert_feed_forward_length", expertWidth)
    set("expert_shared_count", sharedExperts)
    let scale = try config["routed_scaling_factor"].map { _ in try config.expertScale() }
    if let scale = scale ?? (config.has("routed_scaling_factor") || experts == nil ? nil : Float(defaults.scale)) {
      metadata["\(name).expert_weights_scale"] = .float32(scale)
    }
    let normalizes = config.has("norm_topk_prob") || experts == nil ? false : defaults.normalizes
    if config["norm_topk_prob"]?.bool ?? normalizes { metadata["\(name).expert_weights_norm"] = .bool(true) }
    set("rope.dimension_count", ropeSize)
    return metadata
  }

  /// - Parameter corrected: the router always has a bias (`e_score_correction_bias`) for the choice of experts.
  func collectTensors(_ all: inout TensorCollector, corrected: Bool = false) throws {
    try decoder.embeddings(&all)
    for layer in prediction?.all ?? 0..<decoder.layers {
      try attention(layer, &all)
      if let queryRank { try indexer?.collectTensors(layer: layer, decoder, queryRank: queryRank, &all) }
      try all.vector(
        "blk.\(layer).ffn_norm.weight", from: "model.layers.\(layer).post_attention_layernorm.weight",
        count: decoder.width)
      if let experts, layer >= denseLayers {
        try sparse(layer, experts: experts, corrected: corrected, &all)
      } else {
        try decoder.feedForward(layer: layer, &all)
      }
      try prediction?.collectTensors(layer: layer, decoder, &all)
    }
    try decoder.head(&all)
  }

  private func attention(_ layer: Int, _ all: inout TensorCollector) throws {
    let (to, from) = ("blk.\(layer).", "model.layers.\(layer).")
    let (heads, width) = (decoder.heads, decoder.width)
    try all.vector(to + "attn_norm.weight", from: from + "input_layernorm.weight", count: width)
    if let queryRank {
      try all.linear(
        to + "attn_q_a", from: from + "self_attn.q_a_proj", outputs: queryRank, inputs: width, bias: .none)
      try all.vector(to + "attn_q_a_norm.weight", from: from + "self_attn.q_a_layernorm.weight", count: queryRank)
      try all.matrix(
        to + "attn_q_b.weight", from: from + "self_attn.q_b_proj.weight", outputs: heads * (nopeSize + ropeSize),
        inputs: queryRank)
    } else {
      try all.matrix(
        to + "attn_q.weight", from: from + "self_attn.q_proj.weight", outputs: heads * (nopeSize + ropeSize),
        inputs: width)
    }
    try all.linear(
      to + "attn_kv_a_mqa", from: from + "self_attn.kv_a_proj_with_mqa", outputs: latentRank + ropeSize, inputs: width,
      bias: .none)
    try all.vector(to + "attn_kv_a_norm.weight", from: from + "self_attn.kv_a_layernorm.weight", count: latentRank)
    let source = from + "self_attn.kv_b_proj.weight"
    let headRows = nopeSize + valueSize
    try all.part(
      to + "attn_k_b.weight", [nopeSize, latentRank, heads],
      .transposed(source, shape: [heads * headRows, latentRank], first: 0, count: nopeSize, every: headRows))
    try all.part(
      to + "attn_v_b.weight", [latentRank, valueSize, heads],
      .slices(source, shape: [heads * headRows, latentRank], first: nopeSize, count: valueSize, every: headRows))
    try all.linear(
      to + "attn_output", from: from + "self_attn.o_proj", outputs: width, inputs: heads * valueSize, bias: .none)
  }

  private func sparse(_ layer: Int, experts: Int, corrected: Bool, _ all: inout TensorCollector) throws {
    let (to, from) = ("blk.\(layer).", "model.layers.\(layer).mlp.")
    try all.exactMatrix(
      to + "ffn_gate_inp.weight", from: from + "gate.weight", outputs: experts, inputs: decoder.width)
    if all.has(from + "gate.e_score_correction_bias", expected: corrected) {
      try all.vector(to + "exp_probs_b.bias", from: from + "gate.e_score_correction_bias", count: experts)
    }
    if defaults.hasJointExperts {
      for (name, source, outputs, inputs) in [
        ("ffn_gate_up_exps", "gate_up_proj", 2 * expertWidth, decoder.width),
        ("ffn_down_exps", "down_proj", decoder.width, expertWidth),
      ] {
        try all.part(
          to + name + ".weight", [inputs, outputs, experts],
          .whole(from + "experts." + source, shape: [experts, outputs, inputs]))
      }
    } else {
      try decoder.experts(layer: layer, count: experts, width: expertWidth, &all)
    }
    if sharedExperts > 0 {
      try decoder.feedForward(
        layer: layer, from: "mlp.shared_experts.", to: "_shexp", width: sharedExperts * expertWidth, &all)
    }
  }

  /// True for tensors of the layers for multi-token prediction, which follow the model's layers, if they are left out.
  func isPrediction(_ name: String) -> Bool {
    guard prediction?.count ?? 0 == 0, let layer = decoderLayer(of: name) else { return false }
    return layer >= decoder.layers
  }
}

/// An indexer, which selects the keys that a query of latent attention sees (DeepSeek V3.2).
private struct Indexer: Sendable {
  let heads: Int
  let headSize: Int
  let limit: Int
  /// Whether each layer has one; others use the selection of a layer before them. Nil if all have one.
  let isFull: [Bool]?

  init(_ config: Config, layers: Int) throws {
    heads = try config.int("index_n_heads")
    headSize = try config.int("index_head_dim")
    limit = try config.int("index_topk")
    isFull = config["indexer_types"]?.array.map { $0.map { $0.string == "full" } }
    if let isFull, isFull.count != layers {
      throw FormatError(
        path: config.path, subject: "key indexer_types", "has \(isFull.count) entries for \(layers) layers")
    }
  }

  func keys(_ name: String) -> Metadata {
    var metadata: Metadata = [:]
    for (key, value) in [("head_count", heads), ("key_length", headSize), ("top_k", limit)] {
      metadata["\(name).attention.indexer.\(key)"] = .uint32(UInt32(value))
    }
    if let isFull { metadata["\(name).attention.indexer.types"] = .array(.bool(isFull)) }
    return metadata
  }

  /// Adds the indexer of a layer, if it has one.
  func collectTensors(
    layer: Int, _ decoder: DecoderConfig, queryRank: Int, _ all: inout TensorCollector
  ) throws {
    let (to, from) = ("blk.\(layer).indexer.", "model.layers.\(layer).self_attn.indexer.")
    let isExpected = isFull.map { layer < $0.count ? $0[layer] : true } ?? true
    guard all.prefers(from + "wk.weight", expected: isExpected) || isExpected else { return }
    for name in ["weight", "bias"] {
      try all.vector(to + "k_norm." + name, from: from + "k_norm." + name, count: headSize)
    }
    try all.exactMatrix(
      to + "proj.weight", from: from + "weights_proj.weight", outputs: heads, inputs: decoder.width)
    try all.matrix(to + "attn_k.weight", from: from + "wk.weight", outputs: headSize, inputs: decoder.width)
    try all.matrix(
      to + "attn_q_b.weight", from: from + "wq_b.weight", outputs: heads * headSize, inputs: queryRank)
  }
}
