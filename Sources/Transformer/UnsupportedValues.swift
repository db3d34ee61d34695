import GGUF

extension ModelReader {
  /// Throws for a model whose metadata requires a computation that the forward pass does not have: keys of other
  /// architectures, and keys that runtimes ignore for this one.
  ///
  /// - Parameter honoured: keys that the architecture supports.
  func refuseUnsupportedValues(except honoured: Set<String>) throws(ForwardError) {
    for (name, neutral) in Self.neutralValues where !honoured.contains(name) {
      guard let value = source.metadata[key(name)], !value.consists(of: neutral) else { continue }
      throw .unsupportedValue(
        key: key(name), value: value.shortText, reason: "which the forward pass of \(architecture) does not support")
    }
    guard !honoured.contains("hidden_activation") else { return }
    let activation = try optionalString("hidden_activation") ?? "silu"
    guard activation == "silu" || activation == "swish" else {
      throw .unsupportedValue(
        key: key("hidden_activation"), value: "'\(activation)'", reason: "but the forward pass computes silu")
    }
  }

  /// Keys with the values that change nothing (false counts as 0).
  private static let neutralValues: [(key: String, values: [Double])] = [
    ("attention.causal", [1]), ("attention.clamp_kqv", [0]), ("attention.max_alibi_bias", [0]),
    ("attention.scale", [0]), ("attention.output_scale", [0, 1]),
    ("attention.value_scale", [0, 1]),
    ("attention.temperature_scale", [0]), ("attention.shared_kv_layers", [0]),
    ("attention.recurrent_layers", [0]), ("attention.indexer.top_k", [0]),
    ("attn_logit_softcapping", [0]),
    ("final_logit_softcapping", [0]), ("router_logit_softcapping", [0]), ("logit_scale", [0, 1]),
    ("residual_scale", [0, 1]), ("embedding_scale", [0, 1]), ("use_parallel_residual", [0]),
    ("swin_norm", [0]), ("swiglu_clamp_exp", [0]), ("swiglu_clamp_shexp", [0]),
    ("embedding_length_per_layer_input", [0]), ("n_deepstack_layers", [0]), ("num_loops", [0, 1]),
    ("full_attention_interval", [0, 1]), ("interleave_moe_layer_step", [0, 1]),
    ("moe_every_n_layers", [0, 1]), ("hyper_connection.count", [0]),
    ("rope.scaling.alpha", [0, 1]),
    ("rope.scaling.yarn_ext_factor", [-1, 1]), ("rope.scaling.yarn_beta_fast", [32]),
    ("rope.scaling.yarn_beta_slow", [1]), ("rope.scaling.yarn_log_multiplier", [0]),
    ("expert_weights_norm", [1]), ("expert_weights_scale", [0, 1]), ("expert_gating_func", [0, 1]),
    ("expert_group_count", [0, 1]), ("expert_group_used_count", [0, 1]), ("expert_shared_count", [0]),
    ("expert_shared_feed_forward_length", [0]), ("leading_dense_block_count", [0]),
  ]
}

extension MetadataValue {
  /// Whether the value, or every element of an array, is one of `numbers`.
  fileprivate func consists(of numbers: [Double]) -> Bool {
    switch self {
    case .bool(let flag): return numbers.contains(flag ? 1 : 0)
    case .array(let array):
      if case .bool(let flags) = array { return flags.allSatisfy { numbers.contains($0 ? 1 : 0) } }
      if case .float32(let values) = array { return values.allSatisfy { numbers.contains(Double($0)) } }
      if case .float64(let values) = array { return values.allSatisfy(numbers.contains) }
      return array.integers?.allSatisfy { numbers.contains(Double($0)) } ?? false
    default: return number.map(numbers.contains) ?? false
    }
  }

  fileprivate var shortText: String {
    switch self {
    case .bool(let flag): "\(flag)"
    case .string(let text): "'\(text.prefix(60))'"
    case .array: "an array"
    default: integer.map { "\($0)" } ?? number.map { "\($0)" } ?? "a number"
    }
  }
}
