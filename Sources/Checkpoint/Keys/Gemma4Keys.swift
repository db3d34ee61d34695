extension Gemma4Checkpoint {
  static let keys = GemmaConfig.keys.adding(
    KeyTable(
      honoured: [
        "global_head_dim", "num_global_key_value_heads", "per_layer_config", "attention_k_eq_v",
        "num_kv_shared_layers", "use_double_wide_mlp", "hidden_size_per_layer_input", "vocab_size_per_layer_input",
        "enable_moe_block", "num_experts", "top_k_experts", "moe_intermediate_size", "use_bidirectional_attention",
        "partial_rotary_factor",
      ],
      rules: [
        rotation, layerConfig, sharedKeys, bidirectional,
        .only("expert_intermediate_size", "num_local_experts", "num_experts_per_tok", are: .int(0)),
      ]))

  /// Layers of full attention rotate a part of every head, at frequencies of the whole head, unscaled.
  private static let rotation = KeyRule { config, gguf in
    let (name, parameters) = RopeConfig.parameters(of: config)
    let reason = "a GGUF of \(gguf) rotates heads of full attention by the rule proportional, unscaled"
    let type = RopeConfig.type(of: parameters)
    var refused: [RefusedKey] = []
    if type != "proportional" { refused.append(RefusedKey("\(name).rope_type", type, reason)) }
    for (key, value) in (parameters.object ?? [:]).sorted(by: { $0.key < $1.key }) where value != .null {
      switch key {
      case "rope_type", "type", "rope_theta", "partial_rotary_factor": break
      case "factor" where value.double == 1: break
      default: refused.append(RefusedKey("\(name).\(key)", value.text, reason))
      }
    }
    if let beside = config["partial_rotary_factor"] {
      refused.append(RefusedKey("partial_rotary_factor", beside.text, "it has its place in rope_parameters"))
    }
    return refused
  }

  /// The layers of full attention have one shape, and the others the model's.
  private static let layerConfig = KeyRule("per_layer_config") { config, gguf in
    guard let given = config["per_layer_config"] else { return [] }
    func refused(_ value: JSONValue, _ reason: String) -> [RefusedKey] {
      [RefusedKey("per_layer_config", value.text, reason, shapesTensors: true)]
    }
    let count = min(config["num_hidden_layers"]?.int ?? 0, 10_000)
    let full = (0..<max(0, count)).filter { GemmaConfig.hasFullAttention($0, config) }
    guard let entries = Gemma4Config.layerConfigs(given), Set(entries.keys) == Set(full),
      let first = entries.values.first
    else { return refused(given, "a GGUF of \(gguf) has one entry for each layer of full attention") }
    guard entries.values.allSatisfy({ $0 == first }), let fields = first.object else {
      return refused(given, "a GGUF of \(gguf) has one shape of full attention")
    }
    if let other = fields.first(where: { !["head_dim", "num_key_value_heads"].contains($0.key) }) {
      return refused(.object([other.key: other.value]), "a GGUF of \(gguf) has heads and key heads for each layer")
    }
    return []
  }

  /// Readers take the keys of the last two layers that have any: the last must have full attention, and the one before
  /// it a sliding window.
  private static let sharedKeys = KeyRule("num_kv_shared_layers") { config, gguf in
    guard let value = config["num_kv_shared_layers"], value.isTrue else { return [] }
    let layers = config["num_hidden_layers"]?.int ?? 0
    guard let shared = value.int, shared >= 0, layers - shared >= 2,
      GemmaConfig.hasFullAttention(layers - shared - 1, config),
      !GemmaConfig.hasFullAttention(layers - shared - 2, config)
    else {
      return [
        RefusedKey(
          "num_kv_shared_layers", value.text,
          "a GGUF of \(gguf) shares the keys of a layer of full attention and of the one before it, with a window",
          shapesTensors: true)
      ]
    }
    return []
  }

  /// Text is causal, whatever images are.
  private static let bidirectional = KeyRule("use_bidirectional_attention") { config, gguf in
    guard let value = config["use_bidirectional_attention"], value.isTrue, value.string != "vision" else { return [] }
    return [RefusedKey("use_bidirectional_attention", value.text, "a GGUF of \(gguf) has causal attention for text")]
  }
}
