extension DeltaNetConfig {
  /// The keys common to all architectures with delta nets.
  static let keys = KeyTable(
    honoured: [
      "full_attention_interval", "linear_conv_kernel_dim", "linear_key_head_dim", "linear_num_key_heads",
      "linear_num_value_heads", "partial_rotary_factor", "attn_output_gate", "mtp_num_hidden_layers",
    ],
    // The type of a state in memory.
    harmless: ["mamba_ssm_dtype"],
    rules: [
      .rope(RopeForms(isPartial: true)), kindsOfLayers, interval, headSizes,
      predictionBlocks,
      .none("use_sliding_window", "attention_bias", "mlp_bias", "qkv_bias", "mtp_use_dedicated_embeddings"),
      .none("mlp_only_layers", shapesTensors: true), .only("decoder_sparse_step", are: .int(1), shapesTensors: true),
      .only("attn_output_gate", "qk_norm", "use_qk_norm", "qk_layernorm", are: .bool(true)),
    ])

  /// The keys of layers with experts, whose weights are a softmax over all of them, normalised over the selected ones.
  static let expertKeys = KeyTable.plainExperts.exempting(
    "shared_expert_intermediate_size"
  ).adding(
    KeyTable(
      honoured: ["moe_intermediate_size", "shared_expert_intermediate_size"],
      rules: [.only("norm_topk_prob", are: .bool(true))]))

  private static let kindsOfLayers = KeyRule("layer_types") { config, gguf in
    let known = [JSONValue.string("linear_attention"), .string("full_attention")]
    guard let kinds = config["layer_types"] else { return [] }
    let other = (kinds.array ?? [kinds]).first { !known.contains($0) }
    return other.map {
      [RefusedKey("layer_types", $0.text, "a GGUF of \(gguf) has linear_attention and full_attention")]
    } ?? []
  }

  /// The layers of full attention by their distance, which `layer_types` replaces.
  private static let interval = KeyRule("full_attention_interval") { config, _ in
    guard let given = config["full_attention_interval"], let interval = given.int, interval > 0,
      let (layer, kind) = config["layer_types"]?.array?.enumerated().first(where: { layer, kind in
        (kind.string == "full_attention") != (layer + 1).isMultiple(of: interval)
      })
    else { return [] }
    return [RefusedKey("full_attention_interval", given.text, "layer_types has \(kind.text) in layer \(layer)")]
  }

  private static let headSizes = KeyRule("linear_value_head_dim") { config, gguf in
    let (keys, values) = (config["linear_key_head_dim"]?.int ?? 128, config["linear_value_head_dim"]?.int ?? 128)
    guard keys != values else { return [] }
    return [
      RefusedKey(
        "linear_value_head_dim", "\(values)",
        "a GGUF of \(gguf) has values of the keys' size, which is \(keys)", shapesTensors: true)
    ]
  }

  private static let predictionBlocks = KeyRule("mtp_num_hidden_layers") { config, gguf in
    guard let count = config["mtp_num_hidden_layers"], config.prediction != .dropped, ![0, 1].contains(count.int)
    else { return [] }
    return [
      RefusedKey(
        "mtp_num_hidden_layers", count.text,
        "a GGUF of \(gguf) has at most one block for multi-token prediction, which may be left out")
    ]
  }
}
