extension DeepseekConfig {
  /// The keys common to V2 and V3.
  static let keys = keysOfDeepSeek()

  /// The keys of V2 and V3, with these forms of positions.
  static func keysOfDeepSeek(rope: RopeForms = RopeForms()) -> KeyTable {
    KeyTable(honoured: shapes, harmless: derived, rules: [.noSlidingWindow, .rope(rope)]).adding(common)
  }

  private static let shapes: Set<String> = [
    "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "n_routed_experts",
    "num_experts_per_tok", "moe_intermediate_size", "first_k_dense_replace", "n_group", "topk_group",
    "routed_scaling_factor",
  ]
  // Aliases of honoured keys, and values that follow from them.
  private static let derived: Set<String> = ["num_experts", "num_local_experts", "qk_head_dim"]

  /// The keys of other models with latent attention: their first key rules are those of the positions.
  static func keys(rope: RopeForms, _ more: [KeyRule] = []) -> KeyTable {
    KeyTable(honoured: keys.honoured, harmless: keys.harmless, rules: [.rope(rope), .densePrefix] + more).adding(common)
  }

  private static let common = KeyTable(
    rules: [
      .only("rope_interleave", are: .bool(true)), .only("moe_layer_freq", are: .int(1)),
      // Readers of deepseek2 do not support biases, and need shared experts in every layer with experts.
      .none("attention_bias", "mlp_bias", "qkv_bias", "qk_norm", "use_qk_norm", "qk_layernorm"), sharedExperts,
    ])

  private static let sharedExperts = KeyRule("n_shared_experts") { config, gguf in
    guard config["n_routed_experts"] != nil, config.has("n_shared_experts"), config["n_shared_experts"]?.int ?? 0 == 0
    else { return [] }
    return [
      RefusedKey(
        "n_shared_experts", config["n_shared_experts"]?.text ?? "null", "a GGUF of \(gguf) has at least one",
        shapesTensors: true)
    ]
  }
}
