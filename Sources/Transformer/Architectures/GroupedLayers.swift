/// The attention of llama and the qwen family: they differ in biases, norms of heads, and the rotation's pairs.
extension GroupedAttention {
  /// Layer `index` of a model. Biases are taken where tensors for them exist.
  init(_ facts: ModelFacts, layer index: Int, width: Int, headNorms: Bool) throws(ForwardError) {
    let block = "blk.\(index)."
    let heads = try facts.uniformInt("attention.head_count")
    let isGrouped = facts.has("attention.head_count_kv")
    let keyHeads = try facts.uniformInt(isGrouped ? "attention.head_count_kv" : "attention.head_count")
    guard heads <= width else {
      throw .invalidKey(facts.key("attention.head_count"), reason: "is \(heads), more than width \(width) has elements")
    }
    guard heads % keyHeads == 0 else {
      throw .invalidKey(facts.key("attention.head_count_kv"), reason: "is \(keyHeads), no divisor of \(heads) heads")
    }
    let keyLength = try facts.optionalInt("attention.key_length", in: 1...1 << 16) ?? width / heads
    let valueLength = try facts.optionalInt("attention.value_length", in: 1...1 << 16) ?? width / heads
    self.init(
      heads: heads, keyHeads: keyHeads, keyLength: keyLength, valueLength: valueLength,
      norm: try facts.tensor(block + "attn_norm.weight", [width]),
      q: try facts.linear(block + "attn_q", width, heads * keyLength),
      k: try facts.linear(block + "attn_k", width, keyHeads * keyLength),
      v: try facts.linear(block + "attn_v", width, keyHeads * valueLength),
      output: try facts.linear(block + "attn_output", heads * valueLength, width),
      queryNorm: headNorms ? try facts.tensor(block + "attn_q_norm.weight", [keyLength]) : nil,
      keyNorm: headNorms ? try facts.tensor(block + "attn_k_norm.weight", [keyLength]) : nil)
  }
}

extension DenseFeedForward {
  /// Layer `index` of a model. Biases are taken where tensors for them exist.
  init(_ facts: ModelFacts, layer index: Int, width: Int) throws(ForwardError) {
    let block = "blk.\(index)."
    let length = try facts.uniformInt("feed_forward_length")
    self.init(
      norm: try facts.tensor(block + "ffn_norm.weight", [width]),
      unit: GatedUnit(
        gate: try facts.linear(block + "ffn_gate", width, length),
        up: try facts.linear(block + "ffn_up", width, length),
        down: try facts.linear(block + "ffn_down", length, width)))
  }
}

extension ModelFacts {
  /// True where layers have experts.
  var hasExperts: Bool {
    get throws(ForwardError) { (try optionalInt("expert_count") ?? 0) > 0 }
  }
}

extension ExpertFeedForward {
  /// Layer `index` of a model with a softmax gate, no groups and no shared expert.
  init(
    _ facts: ModelFacts, layer index: Int, width: Int, norm: String, normalizes: Bool
  ) throws(ForwardError) {
    let block = "blk.\(index)."
    let experts = try facts.int("expert_count")
    // Mixtral's files give the experts' length as the length of the feed-forward part.
    let own = facts.has("expert_feed_forward_length")
    let length = try facts.uniformInt(own ? "expert_feed_forward_length" : "feed_forward_length")
    self.init(
      norm: try facts.tensor(block + norm + ".weight", [width]),
      router: Router(
        weight: try facts.tensor(block + "ffn_gate_inp.weight", [width, experts]), bias: nil, gate: .softmax,
        experts: experts, used: try facts.int("expert_used_count", in: 1...experts), groups: 1, groupsUsed: 1,
        normalizes: try facts.optionalBool("expert_weights_norm") ?? normalizes, scale: try facts.expertScale),
      gates: try facts.tensor(block + "ffn_gate_exps.weight", [width, length, experts]),
      ups: try facts.tensor(block + "ffn_up_exps.weight", [width, length, experts]),
      downs: try facts.tensor(block + "ffn_down_exps.weight", [length, width, experts]), shared: nil)
  }
}

extension ModelFacts {
  /// What experts' weights are multiplied by; files write 0 for "not at all".
  var expertScale: Float {
    get throws(ForwardError) {
      let scale = Float(try optionalDouble("expert_weights_scale") ?? 1)
      return scale == 0 ? 1 : scale
    }
  }
}
