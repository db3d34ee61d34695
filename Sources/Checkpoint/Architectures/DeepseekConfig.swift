import GGUF

/// What DeepSeek V2 and V3 share: latent attention, a few dense layers, then experts with shared ones beside them.
struct DeepseekConfig: Sendable {
  private let decoder: DecoderConfig
  private let config: Config
  private let queryRank: Int?
  private let latent: Int
  private let nope: Int
  private let rope: Int
  private let valueSize: Int
  private let denseLayers: Int
  private let experts: Int?
  private let expertsUsed: Int?
  private let expertWidth: Int
  private let sharedExperts: Int

  init(_ config: Config) throws {
    self.config = config
    nope = try config.int("qk_nope_head_dim")
    rope = try config.int("qk_rope_head_dim")
    valueSize = try config.int("v_head_dim")
    decoder = try DecoderConfig(config, headSize: nope + rope)
    queryRank = config["q_lora_rank"] == nil ? nil : try config.int("q_lora_rank")
    latent = try config.int("kv_lora_rank")
    if config["n_routed_experts"] == nil {
      (experts, expertsUsed, denseLayers) = (nil, nil, decoder.layers)
    } else {
      let count = try config.int("n_routed_experts", most: 1 << 16)
      experts = count
      expertsUsed = try config.int("num_experts_per_tok", most: count)
      denseLayers = try config.count("first_k_dense_replace", default: 0)
    }
    expertWidth = try config.int("moe_intermediate_size", default: decoder.feedForward)
    sharedExperts = try config.count("n_shared_experts", default: 0)
    guard try config.int("moe_layer_freq", default: 1) == 1 else {
      throw CheckpointError(path: config.path, subject: "key moe_layer_freq", "is not 1")
    }
  }

  /// - Parameter defaultScoring: how the router scores where config.json does not say.
  func keys(defaultScoring: String?) throws -> Metadata {
    let name = "deepseek2"
    // All heads share one key and value: the latent.
    var metadata = try decoder.keys(name, keyHeads: 1, epsilon: 1e-6)
    func set(_ key: String, _ value: Int?) {
      if let value { metadata["\(name).\(key)"] = .uint32(UInt32(value)) }
    }
    set("expert_count", experts)
    set("expert_used_count", expertsUsed)
    for (key, source) in [("expert_group_count", "n_group"), ("expert_group_used_count", "topk_group")] {
      set(key, config[source] == nil ? nil : try config.int(source))
    }
    if let scoring = config["scoring_func"]?.string ?? (experts == nil ? nil : defaultScoring) {
      let functions = ["softmax": 1, "sigmoid": 2]
      guard let function = functions[scoring] else {
        throw CheckpointError(
          path: config.path, subject: "key scoring_func", "is \(scoring)", hint: "known: softmax, sigmoid")
      }
      set("expert_gating_func", function)
    }
    set("attention.key_length", latent + rope)
    set("attention.value_length", latent)
    metadata["\(name).leading_dense_block_count"] = .uint32(UInt32(denseLayers))
    set("vocab_size", decoder.vocabulary)
    set("attention.q_lora_rank", queryRank)
    set("attention.kv_lora_rank", latent)
    set("attention.key_length_mla", nope + rope)
    set("attention.value_length_mla", valueSize)
    set("expert_feed_forward_length", expertWidth)
    set("expert_shared_count", sharedExperts)
    if let scale = config["routed_scaling_factor"]?.double {
      metadata["\(name).expert_weights_scale"] = .float32(Float(scale))
    }
    if config["norm_topk_prob"]?.bool == true { metadata["\(name).expert_weights_norm"] = .bool(true) }
    set("rope.dimension_count", rope)
    if let scale = try config.rope.double("mscale_all_dim") {
      // llama.cpp's deepseek2 expects a tenth of the value.
      metadata["\(name).rope.scaling.yarn_log_multiplier"] = .float32(Float(0.1 * scale))
    }
    return metadata
  }

  /// - Parameter corrected: the router has a bias that corrects its choice.
  func collectTensors(_ all: inout TensorCollector, corrected: Bool = false) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      try attention(layer, &all)
      try all.vector(
        "blk.\(layer).ffn_norm.weight", from: "model.layers.\(layer).post_attention_layernorm.weight",
        count: decoder.width)
      if let experts, layer >= denseLayers {
        try sparse(layer, experts: experts, corrected: corrected, &all)
      } else {
        try decoder.feedForward(layer: layer, &all)
      }
    }
    try decoder.head(&all)
  }

  private func attention(_ layer: Int, _ all: inout TensorCollector) throws {
    let (to, from) = ("blk.\(layer).", "model.layers.\(layer).")
    let (heads, width) = (decoder.heads, decoder.width)
    try all.vector(to + "attn_norm.weight", from: from + "input_layernorm.weight", count: width)
    let bias = config["attention_bias"]?.bool == true
    if let queryRank {
      try all.linear(
        to + "attn_q_a", from: from + "self_attn.q_a_proj", outputs: queryRank, inputs: width, bias: bias)
      try all.vector(to + "attn_q_a_norm.weight", from: from + "self_attn.q_a_layernorm.weight", count: queryRank)
      try all.matrix(
        to + "attn_q_b.weight", from: from + "self_attn.q_b_proj.weight", outputs: heads * (nope + rope),
        inputs: queryRank)
    } else {
      try all.matrix(
        to + "attn_q.weight", from: from + "self_attn.q_proj.weight", outputs: heads * (nope + rope), inputs: width)
    }
    try all.linear(
      to + "attn_kv_a_mqa", from: from + "self_attn.kv_a_proj_with_mqa", outputs: latent + rope, inputs: width,
      bias: bias)
    try all.vector(to + "attn_kv_a_norm.weight", from: from + "self_attn.kv_a_layernorm.weight", count: latent)
    let source = from + "self_attn.kv_b_proj.weight"
    let each = nope + valueSize
    try all.part(
      to + "attn_k_b.weight", [nope, latent, heads],
      .transposed(source, shape: [heads * each, latent], first: 0, count: nope, every: each))
    try all.part(
      to + "attn_v_b.weight", [latent, valueSize, heads],
      .slices(source, shape: [heads * each, latent], first: nope, count: valueSize, every: each))
    try all.linear(
      to + "attn_output", from: from + "self_attn.o_proj", outputs: width, inputs: heads * valueSize, bias: bias)
  }

  private func sparse(_ layer: Int, experts: Int, corrected: Bool, _ all: inout TensorCollector) throws {
    let (to, from) = ("blk.\(layer).", "model.layers.\(layer).mlp.")
    try all.exactMatrix(
      to + "ffn_gate_inp.weight", from: from + "gate.weight", outputs: experts, inputs: decoder.width)
    if all.has(from + "gate.e_score_correction_bias", expected: corrected) {
      try all.vector(to + "exp_probs_b.bias", from: from + "gate.e_score_correction_bias", count: experts)
    }
    try decoder.experts(layer: layer, count: experts, width: expertWidth, &all)
    if sharedExperts > 0 {
      try decoder.feedForward(
        layer: layer, from: "mlp.shared_experts.", to: "_shexp", width: sharedExperts * expertWidth, &all)
    }
  }

  /// True for the layers for multi-token prediction, which lie behind the model's own.
  func isPrediction(_ name: String) -> Bool {
    guard name.hasPrefix("model.layers."), let layer = Int(name.dropFirst(13).prefix { $0 != "." }) else {
      return false
    }
    return layer >= decoder.layers
  }
}
