import GGUF

/// The keys of routers with sigmoids, groups, scales and shared experts.
enum RoutedKeys {
  static let all: Set<String> = [
    "expert_weights_norm", "expert_weights_scale", "expert_gating_func", "expert_group_count",
    "expert_group_used_count", "expert_shared_count", "expert_shared_feed_forward_length",
    "leading_dense_block_count",
  ]
}

extension ExpertFeedForward {
  /// The experts of layer `index`, with a router whose properties are in the metadata.
  ///
  /// - Parameters:
  ///   - norm: the name of the norm of the inputs.
  ///   - gate: the router of files that do not name one.
  ///   - normalizes: whether a token's weights have the sum 1, in files that do not say so.
  init(
    routed model: ModelReader, layer index: Int, width: Int, norm: String = "ffn_norm", gate absent: Router.Gate,
    normalizes: Bool = false
  ) throws {
    let prefix = "blk.\(index)."
    let experts = try model.int("expert_count")
    let length = try model.uniformInt("expert_feed_forward_length")
    let groups = max(1, try model.optionalInt("expert_group_count") ?? 1)
    let groupsUsed = try model.optionalInt("expert_group_used_count") ?? groups
    guard experts % groups == 0, (1...groups).contains(groupsUsed) else {
      throw ForwardError.invalidKey(
        model.key("expert_group_count"), reason: "is \(groups), with \(groupsUsed) used, for \(experts) experts")
    }
    let gate: Router.Gate
    switch try model.optionalInt("expert_gating_func") ?? 0 {
    case 0: gate = absent
    case 1: gate = .softmax
    case 2: gate = .sigmoid
    case let other:
      throw ForwardError.invalidKey(model.key("expert_gating_func"), reason: "is \(other), neither softmax nor sigmoid")
    }
    let sharedLength =
      try model.optionalInt("expert_shared_feed_forward_length")
      ?? model.optionalInt("expert_shared_count").map { $0 * length } ?? 0
    // One reader looks for the second name.
    let bias = try model.optional(prefix + "exp_probs_b.bias", [experts])
    let joint = try model.optional(prefix + "ffn_gate_up_exps.weight", [width, 2 * length, experts])
    self.init(
      norm: try model.tensor(prefix + norm + ".weight", [width]),
      router: Router(
        weight: try model.tensor(prefix + "ffn_gate_inp.weight", [width, experts]),
        bias: try bias ?? model.optional(prefix + "exp_probs_b", [experts]), gate: gate, experts: experts,
        used: try model.int("expert_used_count", in: 1...experts), groups: groups, groupsUsed: groupsUsed,
        normalizes: try model.optionalBool("expert_weights_norm") ?? normalizes, scale: try model.expertScale),
      gates: try joint ?? model.tensor(prefix + "ffn_gate_exps.weight", [width, length, experts]),
      ups: try joint ?? model.tensor(prefix + "ffn_up_exps.weight", [width, length, experts]),
      downs: try model.tensor(prefix + "ffn_down_exps.weight", [length, width, experts]),
      shared: sharedLength == 0
        ? nil
        : GatedUnit(
          gate: try model.linear(prefix + "ffn_gate_shexp", width, sharedLength),
          up: try model.linear(prefix + "ffn_up_shexp", width, sharedLength),
          down: try model.linear(prefix + "ffn_down_shexp", sharedLength, width)))
  }
}

extension DecoderArchitecture {
  /// The first layers are dense; the others have experts.
  ///
  /// - Parameters:
  ///   - norm: the name of the norm of the inputs.
  ///   - gate: the router of files that do not name one.
  static func routed(norm: String = "ffn_norm", gate: Router.Gate) -> FeedForward {
    { model, index, width in
      // Not all files have the number of dense layers.
      model.source.tensor(named: "blk.\(index).ffn_gate_inp.weight") == nil
        ? try DenseFeedForward(model, layer: index, width: width, norm: norm)
        : try ExpertFeedForward(
          routed: model, layer: index, width: width, norm: norm, gate: gate, normalizes: true)
    }
  }

  /// GLM 4.5 to 4.7 and Air.
  static let glm4moe = grouped(
    "glm4moe", honoured: RoutedKeys.all, norms: .optional,
    feedForward: routed(norm: "post_attention_norm", gate: .sigmoid))

  /// MiniMax M2: norms over the queries and keys of all heads.
  static let minimaxM2 = grouped(
    "minimax-m2", honoured: RoutedKeys.all, norms: .allHeads, feedForward: routed(gate: .sigmoid))

  /// Hunyuan 3.
  static let hyV3 = grouped(
    "hy_v3", honoured: RoutedKeys.all, norms: .perHead, feedForward: routed(gate: .sigmoid))

  /// Ernie 4.5, and with experts.
  static let ernie45 = grouped("ernie4_5", rotation: .adjacent)
  static let ernie45moe = grouped(
    "ernie4_5-moe", honoured: RoutedKeys.all, rotation: .adjacent, feedForward: routed(gate: .softmax))
}
