import GGUF

/// Qwen 3.5 to 3.8 and Qwen 3 Next: gated delta nets, and every few layers gated attention.
extension DecoderArchitecture {
  static let qwen35 = deltaNet("qwen35") { model, index, width in
    try DenseFeedForward(model, layer: index, width: width, norm: "post_attention_norm")
  }
  static let qwen35moe = deltaNet("qwen35moe", feedForward: gatedExperts)
  static let qwen3next = deltaNet("qwen3next", isGrouped: true, feedForward: gatedExperts)

  private static let gatedExperts: FeedForward = { model, index, width in
    try ExpertFeedForward(
      model, layer: index, width: width, norm: "post_attention_norm", normalizes: true,
      shared: model.optionalInt("expert_shared_feed_forward_length") ?? model.uniformInt("feed_forward_length"))
  }

  /// - Parameter isGrouped: whether value heads that share a key head are neighbours.
  private static func deltaNet(
    _ name: String, isGrouped: Bool = false, feedForward: @escaping FeedForward
  ) -> DecoderArchitecture {
    DecoderArchitecture(
      name: name,
      honoured: ["attention.recurrent_layers", "full_attention_interval", "expert_shared_feed_forward_length"]
    ) { model in
      let base = try DecoderBase(model)
      let isRecurrent = try model.recurrentLayers(base.layers)
      let length = try model.int("attention.key_length", in: 2...1 << 16)
      let rope = try Rope(model, style: .halves, dimensions: length)
      return try base.decoder(model, rope: rope) { index in
        DecoderLayer(
          attention: isRecurrent[index]
            ? try DeltaNet(model, layer: index, width: base.width, isGrouped: isGrouped)
            : try GroupedAttention(
              model, layer: index, width: base.width, norms: .perHead, isGated: true),
          feedForward: try feedForward(model, index, base.width))
      }
    }
  }
}

extension ModelReader {
  /// Which of the first `count` layers have a delta net: a bool for each layer, or all but every few.
  fileprivate func recurrentLayers(_ count: Int) throws(ForwardError) -> [Bool] {
    let name = "attention.recurrent_layers"
    guard let value = source.metadata[key(name)] else {
      let interval = try optionalInt("full_attention_interval", in: 1...1 << 16) ?? 4
      return (0..<count).map { ($0 + 1) % interval != 0 }
    }
    guard case .array(.bool(let flags)) = value, flags.count >= count else {
      throw .invalidKey(key(name), reason: "is not a list of true and false for \(count) layers")
    }
    return Array(flags[..<count])
  }
}

extension DeltaNet {
  fileprivate init(
    _ model: ModelReader, layer index: Int, width: Int, isGrouped: Bool
  ) throws(ForwardError) {
    let prefix = "blk.\(index)."
    let keyHeads = try model.int("ssm.group_count", in: 1...1 << 16)
    let valueHeads = try model.int("ssm.time_step_rank", in: 1...1 << 16)
    let size = try model.int("ssm.state_size", in: 1...1 << 12)
    let taps = try model.int("ssm.conv_kernel", in: 1...64)
    guard valueHeads % keyHeads == 0 else {
      throw .invalidKey(
        model.key("ssm.time_step_rank"), reason: "is \(valueHeads), not a multiple of \(keyHeads) key heads")
    }
    let inner = try model.int("ssm.inner_size")
    guard inner == valueHeads * size else {
      throw .invalidKey(
        model.key("ssm.inner_size"), reason: "is \(inner), but \(valueHeads) heads have \(size) elements")
    }
    let channels = 2 * keyHeads * size + inner
    let hasJointHeads = isGrouped && model.source.tensor(named: prefix + "ssm_in.weight") != nil
    let isJoint = model.source.tensor(named: prefix + "ssm_ba.weight") != nil
    self.init(
      keyHeads: keyHeads, valueHeads: valueHeads, size: size, isGrouped: isGrouped,
      norm: try model.tensor(prefix + "attn_norm.weight", [width]),
      heads: hasJointHeads
        ? .joint(try model.linear(prefix + "ssm_in", width, channels + inner))
        : .separate(
          qkv: try model.linear(prefix + "attn_qkv", width, channels),
          gate: try model.linear(prefix + "attn_gate", width, inner)),
      rates: isJoint
        ? .joint(try model.linear(prefix + "ssm_ba", width, 2 * valueHeads))
        : .separate(
          decays: try model.linear(prefix + "ssm_alpha", width, valueHeads),
          rates: try model.linear(prefix + "ssm_beta", width, valueHeads)),
      convolution: try model.tensor(prefix + "ssm_conv1d.weight", [taps, channels]),
      a: try model.tensor(prefix + "ssm_a", [valueHeads]), dt: try model.tensor(prefix + "ssm_dt.bias", [valueHeads]),
      headNorm: try model.tensor(prefix + "ssm_norm.weight", [size]),
      output: try model.linear(prefix + "ssm_out", inner, width))
    for linear in inputs + [output] where linear.bias != nil {
      throw .unsupportedTensor(linear.weight.name, reason: "has a bias, which a delta net does not have")
    }
  }
}
