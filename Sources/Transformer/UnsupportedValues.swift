import GGUF

extension ModelReader {
  /// Throws for a model whose metadata requires a computation that the forward pass does not have: keys of other
  /// architectures, and keys that runtimes ignore for this one.
  func refuseUnsupportedValues() throws(ForwardError) {
    let isLatent = architecture == "deepseek2"
    for (name, neutral, isLatentKey) in Self.neutralValues where !(isLatent && isLatentKey) {
      guard let value = source.metadata[key(name)], !value.consists(of: neutral) else { continue }
      throw .unsupportedValue(
        key: key(name), value: value.shortText, reason: "which the forward pass of \(architecture) does not support")
    }
    let activation = try optionalString("hidden_activation") ?? "silu"
    guard activation == "silu" || activation == "swish" else {
      throw .unsupportedValue(
        key: key("hidden_activation"), value: "'\(activation)'", reason: "but the forward pass computes silu")
    }
  }

  /// Keys with the values that change nothing (false counts as 0), and whether deepseek2 supports the key.
  private static let neutralValues: [(key: String, values: [Double], isLatent: Bool)] = [
    ("attention.causal", [1], false), ("attention.clamp_kqv", [0], false), ("attention.max_alibi_bias", [0], false),
    ("attention.scale", [0], false), ("attention.output_scale", [0, 1], false),
    ("attention.value_scale", [0, 1], false),
    ("attention.temperature_scale", [0], false), ("attention.shared_kv_layers", [0], false),
    ("attention.recurrent_layers", [0], false), ("attention.indexer.top_k", [0], false),
    ("attn_logit_softcapping", [0], false),
    ("final_logit_softcapping", [0], false), ("router_logit_softcapping", [0], false), ("logit_scale", [0, 1], false),
    ("residual_scale", [0, 1], false), ("embedding_scale", [0, 1], false), ("use_parallel_residual", [0], false),
    ("swin_norm", [0], false), ("swiglu_clamp_exp", [0], false), ("swiglu_clamp_shexp", [0], false),
    ("embedding_length_per_layer_input", [0], false), ("n_deepstack_layers", [0], false), ("num_loops", [0, 1], false),
    ("full_attention_interval", [0, 1], false), ("interleave_moe_layer_step", [0, 1], false),
    ("moe_every_n_layers", [0, 1], false), ("hyper_connection.count", [0], false),
    ("rope.scaling.alpha", [0, 1], false),
    ("rope.scaling.yarn_ext_factor", [-1, 1], false), ("rope.scaling.yarn_beta_fast", [32], false),
    ("rope.scaling.yarn_beta_slow", [1], false), ("rope.scaling.yarn_log_multiplier", [0], true),
    ("expert_weights_norm", [1], true), ("expert_weights_scale", [0, 1], true), ("expert_gating_func", [0, 1], true),
    ("expert_group_count", [0, 1], true), ("expert_group_used_count", [0, 1], true), ("expert_shared_count", [0], true),
    ("expert_shared_feed_forward_length", [0], true), ("leading_dense_block_count", [0], true),
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
