import GGUF
import Tensors

/// The arguments of mlx_lm's classes for a model, from its keys under GGUF's names and its tensors.
struct MLXClassValues {
  let model: any ModelSource
  private let metadata: Metadata
  private let architecture: String

  /// - Parameter metadata: the model's, without blocks for multi-token prediction.
  init(_ model: any ModelSource, _ metadata: Metadata) {
    self.model = model
    self.metadata = metadata
    architecture = metadata.optionalString("general.architecture") ?? ""
  }

  func key(_ name: String) -> String { "\(architecture).\(name)" }
  func int(_ name: String) -> Int? { metadata.optionalInt(key(name)) }
  func string(_ name: String) -> String? { metadata.optionalString(key(name)) }
  func float(_ name: String) -> String? { metadata.optionalFloat(key(name)).map { "\($0)" } }
  private func number(_ name: String) -> String? { int(name).map { "\($0)" } }

  private func flags(_ name: String) -> [Bool]? {
    if case .array(.bool(let flags))? = metadata[key(name)] { flags } else { nil }
  }

  private func has(_ tensor: String) -> Bool { model.tensor(named: tensor) != nil }

  /// Whether each layer has a sliding window; nil for a model without.
  var slidingLayers: [Bool]? {
    if let flags = flags("attention.sliding_window_pattern") { return flags }
    return architecture == "gpt-oss" ? (0..<(int("block_count") ?? 0)).map { $0.isMultiple(of: 2) } : nil
  }

  /// The distance of layers with full attention among delta nets; nil where they have none.
  var interval: Int? {
    let recurrent = (flags("attention.recurrent_layers") ?? []).prefix(int("block_count") ?? 0)
    let interval = recurrent.firstIndex(of: false).map { $0 + 1 } ?? int("full_attention_interval") ?? 4
    return recurrent.enumerated().allSatisfy { $1 != ($0 + 1).isMultiple(of: interval) } ? interval : nil
  }

  /// The size of a head.
  var headSize: Int? {
    if let size = int("attention.key_length_swa") ?? int("attention.key_length") { return size }
    guard let width = int("embedding_length"), let heads = int("attention.head_count"), heads > 0 else { return nil }
    return width / heads
  }

  private var isLatent: Bool { int("attention.kv_lora_rank") != nil }

  /// The fraction of a head that is rotated.
  var rotatedPart: String? {
    guard let rotated = int("rope.dimension_count"), let size = headSize, size > 0 else { return nil }
    return "\(Double(rotated) / Double(size))"
  }

  /// The text of an argument in config.json; nil where the model does not tell.
  func text(_ argument: String) -> String? {
    switch argument {
    case "vocab_size": return model.tensor(named: "token_embd.weight").map { "\($0.shape.rows)" }
    case "vocab_size_per_layer_input":
      return model.tensor(named: "per_layer_token_embd.weight").map { "\($0.shape.rows)" }
    case "intermediate_size":
      return metadata.optionalInts(key("feed_forward_length"))?.first.map { "\($0)" }
        ?? (int("expert_count") == nil ? nil : "0")
    case "num_key_value_heads":
      if isLatent { return number("attention.head_count") }
      return slidingKeyHeads.map { "\($0)" } ?? number("attention.head_count")
    case "num_global_key_value_heads": return globalKeyHeads.map { "\($0)" }
    case "head_dim": return headSize.map { "\($0)" }
    case "global_head_dim": return number("attention.key_length")
    case "partial_rotary_factor": return rotatedPart
    case "rope_local_base_freq": return float("rope.freq_base_swa")
    case "routed_scaling_factor": return float("expert_weights_scale") ?? "1.0"
    case "norm_topk_prob":
      // Without latent attention, a missing key means true.
      return "\(metadata.optionalBool(key("expert_weights_norm")) ?? !isLatent)"
    case "n_group", "topk_group":
      return number(argument == "n_group" ? "expert_group_count" : "expert_group_used_count") ?? "1"
    case "q_lora_rank": return number("attention.q_lora_rank") ?? "null"
    case "qk_rope_head_dim", "rotary_dim": return number("rope.dimension_count")
    case "qk_nope_head_dim":
      guard let size = int("attention.key_length_mla"), let rotated = int("rope.dimension_count") else { return nil }
      return "\(size - rotated)"
    case "use_qk_norm": return "\(has("blk.0.attn_q_norm.weight"))"
    case "linear_value_head_dim":
      guard let width = int("ssm.inner_size"), let heads = int("ssm.time_step_rank"), heads > 0 else { return nil }
      return "\(width / heads)"
    case "full_attention_interval": return interval.map { "\($0)" }
    case "layer_types":
      return slidingLayers.map { layers in
        "[" + layers.map { $0 ? "\"sliding_attention\"" : "\"full_attention\"" }.joined(separator: ", ") + "]"
      }
    case "use_double_wide_mlp": return "\((metadata.optionalInts(key("feed_forward_length"))?.count ?? 1) > 1)"
    case "final_logit_softcapping": return float(argument) ?? "null"
    case "num_kv_shared_layers": return number("attention.shared_kv_layers") ?? "0"
    case "hidden_size_per_layer_input": return number("embedding_length_per_layer_input") ?? "0"
    default: return Self.constants[argument] ?? Self.keys[argument].flatMap { number($0) ?? float($0) }
    }
  }

  /// Key heads of Gemma 4's layers with a window, and of its others, in one list; of other models all layers'.
  private var slidingKeyHeads: Int? {
    let counts = metadata.optionalInts(key("attention.head_count_kv"))
    return slidingLayers?.firstIndex(of: true).flatMap { index in
      counts.flatMap { index < $0.count ? $0[index] : nil }
    } ?? counts?.first
  }

  private var globalKeyHeads: Int? {
    guard let counts = metadata.optionalInts(key("attention.head_count_kv")), counts.count > 1,
      let index = slidingLayers?.firstIndex(of: false), index < counts.count
    else { return nil }
    return counts[index]
  }

  /// config.json's name of one of GGUF's keys; nil for keys that have no single one.
  static func argument(ofKey key: String) -> String? {
    key == "attention.head_count_kv" ? "num_key_value_heads" : keys.filter { $0.value == key }.keys.min()
  }

  /// Arguments that have one value in all models that are read.
  private static let constants = [
    "decoder_sparse_step": "1", "mlp_only_layers": "[]", "moe_layer_freq": "1", "shared_intermediate_size": "0",
    "topk_method": "\"noaux_tc\"", "scoring_func": "\"sigmoid\"", "rope_scaling": "null",
  ]

  /// GGUF's names of the same numbers.
  private static let keys = [
    "hidden_size": "embedding_length", "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count", "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base", "max_position_embeddings": "context_length",
    "original_max_position_embeddings": "rope.scaling.original_context_length",
    "sliding_window": "attention.sliding_window", "num_experts": "expert_count", "num_local_experts": "expert_count",
    "n_routed_experts": "expert_count", "num_experts_per_tok": "expert_used_count",
    "top_k_experts": "expert_used_count", "moe_intermediate_size": "expert_feed_forward_length",
    "shared_expert_intermediate_size": "expert_shared_feed_forward_length", "n_shared_experts": "expert_shared_count",
    "first_k_dense_replace": "leading_dense_block_count", "kv_lora_rank": "attention.kv_lora_rank",
    "v_head_dim": "attention.value_length_mla", "index_n_heads": "attention.indexer.head_count",
    "index_head_dim": "attention.indexer.key_length", "index_topk": "attention.indexer.top_k",
    "attention_multiplier": "attention.scale", "embedding_multiplier": "embedding_scale",
    "residual_multiplier": "residual_scale", "logits_scaling": "logit_scale",
    "linear_conv_kernel_dim": "ssm.conv_kernel", "linear_key_head_dim": "ssm.state_size",
    "linear_num_key_heads": "ssm.group_count", "linear_num_value_heads": "ssm.time_step_rank",
  ]
}
