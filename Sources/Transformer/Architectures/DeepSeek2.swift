#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// DeepSeek V2, V3 and R1: latent attention; some dense layers, then experts with a shared one.
extension Architecture {
  static let deepseek2 = Architecture(name: "deepseek2") { facts in
    let frame = try Frame(facts)
    let dense = try facts.optionalInt("leading_dense_block_count") ?? 0
    let turning = try facts.int("rope.dimension_count", in: 2...1 << 16)
    var rope = try Rope(facts, style: .adjacent, dimensions: turning)
    // A multiplier takes the place of YaRN's growth of what turns; scores get both. With linear scaling, they get the
    // growth that what turns has not.
    let multiplier = try facts.optionalDouble("rope.scaling.yarn_log_multiplier") ?? 0
    var stretch = rope.magnitude
    if rope.yarn == nil {
      stretch *= rope.growth
    } else if multiplier != 0 {
      rope.magnitude /= rope.growth
      stretch = rope.magnitude
    }
    stretch *= 1 + multiplier * log(rope.factor)
    return try frame.decoder(facts, rope: rope) { index in
      DecoderLayer(
        attention: try LatentAttention(facts, layer: index, width: frame.width, turning: turning, stretch: stretch),
        feedForward: try index < dense || !facts.hasExperts
          ? DenseFeedForward(facts, layer: index, width: frame.width)
          : ExpertFeedForward(deepSeek: facts, layer: index, width: frame.width))
    }
  }
}

extension LatentAttention {
  /// - Parameter stretch: what queries and keys would each be multiplied by; scores get its square.
  fileprivate init(
    _ facts: ModelFacts, layer index: Int, width: Int, turning: Int, stretch: Double
  ) throws(ForwardError) {
    let block = "blk.\(index)."
    let heads = try facts.uniformInt("attention.head_count")
    let latent = try facts.int("attention.kv_lora_rank")
    // Files in the newer form say the lengths of heads under other keys, since theirs are those of the latent space.
    let isNew = facts.source.tensor(named: block + "attn_k_b.weight") != nil
    let suffix = facts.has("attention.key_length_mla") ? "_mla" : ""
    let length = try facts.int("attention.key_length" + suffix, in: 1...1 << 16)
    let valueLength = try facts.int("attention.value_length" + suffix, in: 1...1 << 16)
    guard length > turning else {
      throw .invalidKey(
        facts.key("attention.key_length" + suffix), reason: "is \(length), and \(turning) elements turn")
    }
    let nope = length - turning
    let rank = facts.source.tensor(named: block + "attn_q_a.weight")?.shape.rows
    let expansion: Expansion =
      isNew
      ? .absorbed(
        k: try facts.tensor(block + "attn_k_b.weight", [nope, latent, heads]),
        v: try facts.tensor(block + "attn_v_b.weight", [latent, valueLength, heads]))
      : .joint(try facts.tensor(block + "attn_kv_b.weight", [latent, heads * (nope + valueLength)]))
    self.init(
      heads: heads, nope: nope, turning: turning, valueLength: valueLength, latent: latent,
      norm: try facts.tensor(block + "attn_norm.weight", [width]),
      queryDown: try rank.map { (rank) throws(ForwardError) in try facts.linear(block + "attn_q_a", width, rank) },
      queryNorm: try rank.map { (rank) throws(ForwardError) in
        try facts.tensor(block + "attn_q_a_norm.weight", [rank])
      },
      query: rank == nil
        ? try facts.linear(block + "attn_q", width, heads * length)
        : try facts.linear(block + "attn_q_b", rank!, heads * length),
      latentDown: try facts.linear(block + "attn_kv_a_mqa", width, latent + turning),
      latentNorm: try facts.tensor(block + "attn_kv_a_norm.weight", [latent]), expansion: expansion,
      output: try facts.linear(block + "attn_output", heads * valueLength, width),
      scale: Float(stretch * stretch / Double(length).squareRoot()))
  }
}

extension ExpertFeedForward {
  fileprivate init(deepSeek facts: ModelFacts, layer index: Int, width: Int) throws(ForwardError) {
    let block = "blk.\(index)."
    let experts = try facts.int("expert_count")
    let length = try facts.uniformInt("expert_feed_forward_length")
    let groups = max(1, try facts.optionalInt("expert_group_count") ?? 1)
    let groupsUsed = try facts.optionalInt("expert_group_used_count") ?? groups
    guard experts % groups == 0, (1...groups).contains(groupsUsed) else {
      throw .invalidKey(
        facts.key("expert_group_count"), reason: "is \(groups), of which \(groupsUsed), for \(experts) experts")
    }
    let gate: Router.Gate
    switch try facts.optionalInt("expert_gating_func") ?? 1 {
    case 0, 1: gate = .softmax
    case 2: gate = .sigmoid
    case let other:
      throw .invalidKey(facts.key("expert_gating_func"), reason: "is \(other), neither softmax nor sigmoid")
    }
    let inner = try facts.optionalInt("expert_shared_count").map { $0 * length } ?? 0
    self.init(
      norm: try facts.tensor(block + "ffn_norm.weight", [width]),
      router: Router(
        weight: try facts.tensor(block + "ffn_gate_inp.weight", [width, experts]),
        bias: try facts.optional(block + "exp_probs_b.bias", [experts]), gate: gate, experts: experts,
        used: try facts.int("expert_used_count", in: 1...experts), groups: groups, groupsUsed: groupsUsed,
        normalizes: try facts.optionalBool("expert_weights_norm") ?? false, scale: try facts.expertScale),
      gates: try facts.tensor(block + "ffn_gate_exps.weight", [width, length, experts]),
      ups: try facts.tensor(block + "ffn_up_exps.weight", [width, length, experts]),
      downs: try facts.tensor(block + "ffn_down_exps.weight", [length, width, experts]),
      shared: inner == 0
        ? nil
        : GatedUnit(
          gate: try facts.linear(block + "ffn_gate_shexp", width, inner),
          up: try facts.linear(block + "ffn_up_shexp", width, inner),
          down: try facts.linear(block + "ffn_down_shexp", inner, width)))
  }
}
