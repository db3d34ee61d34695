import GGUF

/// MiniMaxM2ForCausalLM: norms over the queries and keys of all heads, half of a head rotated, and experts with a sigmoid
/// router in every layer.
struct MiniMaxM2Checkpoint: CheckpointArchitecture {
  static let names = ["MiniMaxM2ForCausalLM"]
  static let ggufName = "minimax-m2"
  static let defaults: [String: JSONValue] = [
    "rope_theta": .number(5e6), "num_key_value_heads": .int(8), "head_dim": .int(128), "rms_norm_eps": .number(1e-6),
  ]
  static let keys = KeyTable.sigmoidExperts.adding(
    KeyTable(
      honoured: ["rotary_dim", "partial_rotary_factor", "use_routing_bias"],
      // Blocks for multi-token prediction, which are not stored, and names of the first MiniMax.
      harmless: [
        "mlp_intermediate_size", "use_mtp", "num_mtp_modules", "mtp_transformer_layers", "max_model_len",
        "shared_moe_mode", "layernorm_full_attention_beta", "layernorm_linear_attention_beta",
        "layernorm_mlp_beta",
      ],
      rules: [
        .noSlidingWindow, .rope(RopeForms(isPartial: true)), fullAttention,
        .only("use_qk_norm", "use_routing_bias", are: .bool(true)), .only("qk_norm_type", are: .string("per_layer")),
        .none("shared_intermediate_size", "n_shared_experts", "first_k_dense_replace", shapesTensors: true),
        .none("attention_bias", "mlp_bias", "qkv_bias"), .only("routed_scaling_factor", are: .int(1)),
        .only("norm_topk_prob", are: .bool(true)), .only("n_group", "topk_group", are: .int(0), .int(1)),
      ]))

  private static let fullAttention = KeyRule("attn_type_list") { config, gguf in
    guard let kinds = config["attn_type_list"], let other = (kinds.array ?? [kinds]).first(where: { $0.int != 1 })
    else { return [] }
    return [RefusedKey("attn_type_list", other.text, "a GGUF of \(gguf) has full attention in all layers")]
  }

  private let decoder: DecoderConfig
  private let experts: RoutedExperts

  init(config: Config) throws {
    decoder = try DecoderConfig(config)
    var experts = try RoutedExperts(
      config, count: "num_local_experts", "num_experts", width: "intermediate_size")
    experts.router = "block_sparse_moe.gate.weight"
    experts.correction = ("block_sparse_moe.e_score_correction_bias", "exp_probs_b.bias")
    experts.experts = "block_sparse_moe.experts."
    experts.parts = ("w1", "w3", "w2")
    self.experts = experts
  }

  func hyperparameters() throws -> Metadata {
    let name = Self.ggufName
    var metadata = try decoder.keys(name)
    metadata.merge(experts.keys(name)) { $1 }
    metadata.merge(decoder.headKeys(name)) { $1 }
    metadata["\(name).expert_gating_func"] = .uint32(2)
    let rotated =
      decoder.config["rotary_dim"] == nil
      ? try decoder.rope.rotated(of: decoder.headSize, in: decoder.config, default: 1)
      : try decoder.config.int("rotary_dim", maximum: decoder.headSize)
    metadata["\(name).rope.dimension_count"] = .uint32(UInt32(rotated))
    return metadata
  }

  func collectTensors(_ all: inout TensorCollector) throws {
    try decoder.embeddings(&all)
    for layer in 0..<decoder.layers {
      try decoder.attention(layer: layer, norms: .allHeads, &all)
      try experts.collectTensors(layer: layer, decoder, &all)
    }
    try decoder.head(&all)
  }
}
