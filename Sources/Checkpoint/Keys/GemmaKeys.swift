extension GemmaConfig {
  /// The keys common to Gemma 3 and 4.
  static let keys = KeyTable(
    honoured: [
      "hidden_activation", "hidden_act", "sliding_window", "layer_types", "final_logit_softcapping",
      "rope_local_base_freq",
    ],
    // Towers' tokens in a text.
    harmless: ["mm_tokens_per_image", "vision_soft_tokens_per_image", "audio_soft_tokens_per_image"],
    rules: [
      .only("hidden_activation", "hidden_act", are: .string("gelu_pytorch_tanh")), kindsOfLayers, slidingRotation,
      olderSlidingBase,
      .none(
        "attention_bias", "mlp_bias", "qkv_bias", "use_sliding_window",
        "num_nextn_predict_layers"),
      .only("qk_norm", "use_qk_norm", "qk_layernorm", are: .bool(true)),
    ])

  private static let kindsOfLayers = KeyRule("layer_types") { config, gguf in
    guard let given = config["layer_types"] else { return [] }
    let known = [JSONValue.string(kinds.full), .string(kinds.sliding)]
    let other = (given.array ?? [given]).first { !known.contains($0) }
    return other.map {
      [RefusedKey("layer_types", $0.text, "a GGUF of \(gguf) has \(kinds.full) and \(kinds.sliding)")]
    } ?? []
  }

  /// Layers with a sliding window have a rotation without scaling.
  private static let slidingRotation = KeyRule { config, gguf in
    let (name, parameters) = RopeConfig.outerParameters(of: config)
    guard let fields = parameters[kinds.sliding]?.object else { return [] }
    return fields.sorted { $0.key < $1.key }.compactMap { key, value in
      let isHonoured =
        switch key {
        case "rope_theta": true
        case "rope_type", "type": value.string == "default"
        case "factor", "partial_rotary_factor": value.double == 1
        default: false
        }
      return isHonoured || value == .null
        ? nil
        : RefusedKey(
          "\(name).\(kinds.sliding).\(key)", value.text,
          "a GGUF of \(gguf) rotates whole heads of layers with a sliding window, unscaled")
    }
  }
}
