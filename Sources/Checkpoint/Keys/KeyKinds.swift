import Files

/// The kind of JSON value that a key of config.json has.
enum KeyKind: String, Sendable {
  case flag = "true or false"
  case integer = "an integer"
  case number = "a number"
  case list = "a list"
  case object = "an object"

  func matches(_ value: JSONValue) -> Bool {
    switch self {
    case .flag: value.bool != nil
    case .integer: value.int != nil
    case .number: value.isSinglePrecision
    case .list: value.array != nil
    case .object: value.object != nil
    }
  }

  /// The fault of a value that does not match.
  fileprivate func fault(_ value: JSONValue) -> String {
    self == .number && value.double?.isFinite == true
      ? "beyond single precision, in which a GGUF has it" : "not \(rawValue)"
  }

  /// Keys whose values of another kind would be taken for missing ones.
  fileprivate static let keys: [(kind: KeyKind, names: [String])] = [
    (
      .flag,
      [
        "tie_word_embeddings", "attention_bias", "mlp_bias", "qkv_bias", "use_qk_norm", "attn_output_gate",
        "norm_topk_prob", "use_sliding_window", "attention_k_eq_v", "use_double_wide_mlp", "enable_moe_block",
        "mtp_use_dedicated_embeddings", "use_routing_bias", "moe_router_enable_expert_bias",
      ]
    ),
    (
      .integer,
      [
        "sliding_window", "max_window_layers", "num_kv_shared_layers", "num_nextn_predict_layers",
        "mtp_num_hidden_layers", "first_k_dense_replace", "full_attention_interval", "num_experts", "num_local_experts",
        "n_routed_experts", "n_shared_experts", "num_experts_per_tok", "experts_per_token", "initial_context_length",
        "linear_key_head_dim", "linear_value_head_dim", "hidden_size_per_layer_input",
      ]
    ),
    (
      .number,
      [
        "rope_theta", "rope_local_base_freq", "partial_rotary_factor", "final_logit_softcapping",
        "routed_scaling_factor", "router_scaling_factor", "rms_norm_eps", "embedding_multiplier",
        "attention_multiplier", "residual_multiplier", "logits_scaling", "output_multiplier", "qk_scale_factor",
        "query_pre_attn_scalar",
      ]
    ),
    (
      .list,
      ["layer_types", "mlp_layer_types", "mlp_only_layers", "layer_rope_theta", "indexer_types", "no_rope_layers"]
    ),
    (.object, ["rope_scaling", "rope_parameters", "quantization_config", "quantization", "per_layer_config"]),
  ]
}

extension JSONValue {
  /// Whether the value is a number that is finite in single precision.
  var isSinglePrecision: Bool { double.map { Float($0).isFinite } ?? false }
}

extension Config {
  /// Refuses values of the wrong kind, which a reader would take for missing.
  func checkKinds() throws {
    for (kind, keys) in KeyKind.keys {
      for key in keys {
        guard let value = self[key], !kind.matches(value) else { continue }
        throw FormatError(path: path, subject: "key \(title(key))", "is \(value.text), \(kind.fault(value))")
      }
    }
  }
}
