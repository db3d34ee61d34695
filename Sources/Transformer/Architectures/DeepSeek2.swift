#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// DeepSeek V2, V3 and R1: latent attention; first dense layers, then layers of experts with a shared expert.
extension DecoderArchitecture {
  static let deepseek2 = DecoderArchitecture(
    name: "deepseek2",
    honoured: [
      "rope.scaling.yarn_log_multiplier", "expert_weights_norm", "expert_weights_scale", "expert_gating_func",
      "expert_group_count", "expert_group_used_count", "expert_shared_count", "expert_shared_feed_forward_length",
      "leading_dense_block_count",
    ]
  ) { model in
    let base = try DecoderBase(model)
    let dense = try model.optionalInt("leading_dense_block_count") ?? 0
    let ropeLength = try model.int("rope.dimension_count", in: 2...1 << 16)
    var rope = try Rope(model, style: .adjacent, dimensions: ropeLength)
    // `rope.magnitude` scales the rotated elements, and `queryKeyScale` scales whole queries and keys. A multiplier
    // replaces YaRN's growth of the rotated elements and adds its own to the scores. With linear scaling only the
    // scores have the growth.
    let multiplier = try model.optionalDouble("rope.scaling.yarn_log_multiplier") ?? 0
    var queryKeyScale = rope.magnitude
    if rope.yarn == nil {
      queryKeyScale *= rope.growth
    } else if multiplier != 0 {
      rope.magnitude /= rope.growth
      queryKeyScale = rope.magnitude
    }
    queryKeyScale *= 1 + multiplier * log(rope.factor)
    return try base.decoder(model, rope: rope) { index in
      DecoderLayer(
        attention: try LatentAttention(
          model, layer: index, width: base.width, ropeLength: ropeLength, queryKeyScale: queryKeyScale),
        feedForward: try index < dense || !model.hasExperts
          ? DenseFeedForward(model, layer: index, width: base.width)
          : ExpertFeedForward(deepSeek: model, layer: index, width: base.width))
    }
  }
}

extension LatentAttention {
  /// - Parameter queryKeyScale: the factor of queries and of keys; scores are multiplied by its square.
  fileprivate init(
    _ model: ModelReader, layer index: Int, width: Int, ropeLength: Int, queryKeyScale: Double
  ) throws(ForwardError) {
    let prefix = "blk.\(index)."
    let heads = try model.uniformInt("attention.head_count")
    let kvRank = try model.int("attention.kv_lora_rank")
    // In files with split kv_b the usual keys have the lengths of the latent space, and `_mla` keys those of heads.
    let isSplit = model.source.tensor(named: prefix + "attn_k_b.weight") != nil
    let suffix = model.has("attention.key_length_mla") ? "_mla" : ""
    let length = try model.int("attention.key_length" + suffix, in: 1...1 << 16)
    let valueLength = try model.int("attention.value_length" + suffix, in: 1...1 << 16)
    guard length > ropeLength else {
      throw .invalidKey(
        model.key("attention.key_length" + suffix), reason: "is \(length), but \(ropeLength) elements are rotated")
    }
    let nopeLength = length - ropeLength
    let rank = model.source.tensor(named: prefix + "attn_q_a.weight")?.shape.rows
    let expansion: Expansion =
      isSplit
      ? .absorbed(
        k: try model.tensor(prefix + "attn_k_b.weight", [nopeLength, kvRank, heads]),
        v: try model.tensor(prefix + "attn_v_b.weight", [kvRank, valueLength, heads]))
      : .joint(try model.tensor(prefix + "attn_kv_b.weight", [kvRank, heads * (nopeLength + valueLength)]))
    self.init(
      heads: heads, nopeLength: nopeLength, ropeLength: ropeLength, valueLength: valueLength, kvRank: kvRank,
      norm: try model.tensor(prefix + "attn_norm.weight", [width]),
      qA: try rank.map { (rank) throws(ForwardError) in try model.linear(prefix + "attn_q_a", width, rank) },
      qANorm: try rank.map { (rank) throws(ForwardError) in
        try model.tensor(prefix + "attn_q_a_norm.weight", [rank])
      },
      qB: rank == nil
        ? try model.linear(prefix + "attn_q", width, heads * length)
        : try model.linear(prefix + "attn_q_b", rank!, heads * length),
      kvA: try model.linear(prefix + "attn_kv_a_mqa", width, kvRank + ropeLength),
      kvANorm: try model.tensor(prefix + "attn_kv_a_norm.weight", [kvRank]), expansion: expansion,
      output: try model.linear(prefix + "attn_output", heads * valueLength, width),
      scale: Float(queryKeyScale * queryKeyScale / Double(length).squareRoot()))
  }
}

extension ExpertFeedForward {
  fileprivate init(deepSeek model: ModelReader, layer index: Int, width: Int) throws(ForwardError) {
    let prefix = "blk.\(index)."
    let experts = try model.int("expert_count")
    let length = try model.uniformInt("expert_feed_forward_length")
    let groups = max(1, try model.optionalInt("expert_group_count") ?? 1)
    let groupsUsed = try model.optionalInt("expert_group_used_count") ?? groups
    guard experts % groups == 0, (1...groups).contains(groupsUsed) else {
      throw .invalidKey(
        model.key("expert_group_count"), reason: "is \(groups), with \(groupsUsed) used, for \(experts) experts")
    }
    let gate: Router.Gate
    switch try model.optionalInt("expert_gating_func") ?? 1 {
    case 0, 1: gate = .softmax
    case 2: gate = .sigmoid
    case let other:
      throw .invalidKey(model.key("expert_gating_func"), reason: "is \(other), neither softmax nor sigmoid")
    }
    let sharedLength = try model.optionalInt("expert_shared_count").map { $0 * length } ?? 0
    self.init(
      norm: try model.tensor(prefix + "ffn_norm.weight", [width]),
      router: Router(
        weight: try model.tensor(prefix + "ffn_gate_inp.weight", [width, experts]),
        bias: try model.optional(prefix + "exp_probs_b.bias", [experts]), gate: gate, experts: experts,
        used: try model.int("expert_used_count", in: 1...experts), groups: groups, groupsUsed: groupsUsed,
        normalizes: try model.optionalBool("expert_weights_norm") ?? false, scale: try model.expertScale),
      gates: try model.tensor(prefix + "ffn_gate_exps.weight", [width, length, experts]),
      ups: try model.tensor(prefix + "ffn_up_exps.weight", [width, length, experts]),
      downs: try model.tensor(prefix + "ffn_down_exps.weight", [length, width, experts]),
      shared: sharedLength == 0
        ? nil
        : GatedUnit(
          gate: try model.linear(prefix + "ffn_gate_shexp", width, sharedLength),
          up: try model.linear(prefix + "ffn_up_shexp", width, sharedLength),
          down: try model.linear(prefix + "ffn_down_shexp", sharedLength, width)))
  }
}
