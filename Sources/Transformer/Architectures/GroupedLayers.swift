import GGUF

// The layers of llama and qwen models, which differ in biases, head norms and the pairs of the rotation.

extension GroupedAttention {
  /// The attention of layer `index`, with the biases that the model has.
  ///
  /// - Parameters:
  ///   - isGated: the rows of `attn_q` are a head's query, then its gate.
  ///   - hasNorm: whether the layer's inputs are normalised.
  init(
    _ model: ModelReader, layer index: Int, width: Int, norms: HeadNorms = .none, isGated: Bool = false,
    hasNorm: Bool = true
  ) throws(ForwardError) {
    let prefix = "blk.\(index)."
    let heads = try model.uniformInt("attention.head_count")
    let isGrouped = model.has("attention.head_count_kv")
    let keyHeads = try model.uniformInt(isGrouped ? "attention.head_count_kv" : "attention.head_count")
    guard heads <= width else {
      throw .invalidKey(model.key("attention.head_count"), reason: "is \(heads), more than the width \(width)")
    }
    guard heads % keyHeads == 0 else {
      throw .invalidKey(model.key("attention.head_count_kv"), reason: "is \(keyHeads), not a divisor of \(heads) heads")
    }
    let keyLength = try model.optionalInt("attention.key_length", in: 1...1 << 16) ?? width / heads
    let valueLength = try model.optionalInt("attention.value_length", in: 1...1 << 16) ?? width / heads
    func norm(_ letter: String, of count: Int) throws(ForwardError) -> TensorInfo? {
      let name = prefix + "attn_\(letter)_norm.weight"
      return switch norms {
      case .none: nil
      case .perHead: try model.tensor(name, [keyLength])
      case .optional: try model.optional(name, [keyLength])
      case .allHeads: try model.tensor(name, [count * keyLength])
      }
    }
    let inputs = try model.linears(
      [prefix + "attn_q", prefix + "attn_k", prefix + "attn_v"], together: prefix + "attn_qkv", width,
      [heads * keyLength * (isGated ? 2 : 1), keyHeads * keyLength, keyHeads * valueLength])
    self.init(
      heads: heads, keyHeads: keyHeads, keyLength: keyLength, valueLength: valueLength,
      norm: hasNorm ? try model.tensor(prefix + "attn_norm.weight", [width]) : nil,
      q: inputs[0], k: inputs[1], v: inputs[2],
      output: try model.linear(prefix + "attn_output", heads * valueLength, width),
      queryNorm: try norm("q", of: heads), keyNorm: try norm("k", of: keyHeads), isGated: isGated)
    guard !isGated || keyLength == valueLength else {
      throw .invalidKey(
        model.key("attention.value_length"), reason: "is \(valueLength), but gates have \(keyLength) elements")
    }
  }
}

extension DenseFeedForward {
  /// The feed-forward part of layer `index`, with the biases that the model has.
  ///
  /// - Parameters:
  ///   - norm: the name of the norm of its inputs; nil without one.
  ///   - isFused: the rows of `ffn_up` are those of gate, then those of up.
  init(
    _ model: ModelReader, layer index: Int, width: Int, norm: String? = "ffn_norm", isFused: Bool = false
  ) throws(ForwardError) {
    let prefix = "blk.\(index)."
    let length = try model.uniformInt("feed_forward_length")
    let inputs =
      isFused
      ? try model.linears([], together: prefix + "ffn_up", width, [length, length])
      : [try model.linear(prefix + "ffn_gate", width, length), try model.linear(prefix + "ffn_up", width, length)]
    self.init(
      norm: try norm.map { (norm) throws(ForwardError) in try model.tensor(prefix + norm + ".weight", [width]) },
      unit: GatedUnit(
        gate: inputs[0], up: inputs[1],
        down: try model.linear(prefix + "ffn_down", length, width)))
  }
}

extension ModelReader {
  /// Matrices of the same inputs, stored each or as the rows of one tensor.
  ///
  /// - Parameter together: the name of that tensor. It is used if the first of `names` is not stored.
  func linears(
    _ names: [String], together: String, _ inputs: Int, _ outputs: [Int]
  ) throws(ForwardError) -> [Linear] {
    guard source.tensor(named: together + ".weight") != nil,
      names.first.map({ source.tensor(named: $0 + ".weight") == nil }) ?? true
    else {
      var result: [Linear] = []
      for (name, outputs) in zip(names, outputs) { result.append(try linear(name, inputs, outputs)) }
      return result
    }
    let whole = try linear(together, inputs, outputs.reduce(0, +))
    var first = 0
    var result: [Linear] = []
    for (index, count) in outputs.enumerated() {
      // Biases may be apart although the matrices are not.
      var bias = whole.bias
      if bias == nil, index < names.count { bias = try optional(names[index] + ".bias", [count]) }
      result.append(Linear(weight: whole.weight, bias: bias, part: first..<first + count))
      first += count
    }
    return result
  }

  /// The experts' matrices of gates and of products: two tensors, or twice `ffn_gate_up_exps`.
  func gatesAndUps(
    _ prefix: String, width: Int, length: Int, experts: Int
  ) throws(ForwardError) -> (gates: TensorInfo, ups: TensorInfo) {
    if let fused = try optional(prefix + "ffn_gate_up_exps.weight", [width, 2 * length, experts]) {
      return (fused, fused)
    }
    return (
      try tensor(prefix + "ffn_gate_exps.weight", [width, length, experts]),
      try tensor(prefix + "ffn_up_exps.weight", [width, length, experts])
    )
  }

  /// Whether the model has experts.
  var hasExperts: Bool {
    get throws(ForwardError) { (try optionalInt("expert_count") ?? 0) > 0 }
  }
}

extension ExpertFeedForward {
  /// The experts of layer `index`, with a softmax gate and without groups.
  ///
  /// - Parameter sharedLength: the length of a shared expert whose output has a gate; nil without one.
  init(
    _ model: ModelReader, layer index: Int, width: Int, norm: String, normalizes: Bool, shared sharedLength: Int? = nil
  ) throws(ForwardError) {
    let prefix = "blk.\(index)."
    let experts = try model.int("expert_count")
    // Mixtral's files have the experts' length under the key of dense layers.
    let hasExpertLength = model.has("expert_feed_forward_length")
    let length = try model.uniformInt(hasExpertLength ? "expert_feed_forward_length" : "feed_forward_length")
    let matrices = try model.gatesAndUps(prefix, width: width, length: length, experts: experts)
    self.init(
      norm: try model.tensor(prefix + norm + ".weight", [width]),
      router: Router(
        weight: try model.tensor(prefix + "ffn_gate_inp.weight", [width, experts]), bias: nil, gate: .softmax,
        experts: experts, used: try model.int("expert_used_count", in: 1...experts), groups: 1, groupsUsed: 1,
        normalizes: try model.optionalBool("expert_weights_norm") ?? normalizes, scale: try model.expertScale),
      gates: matrices.gates, ups: matrices.ups,
      downs: try model.tensor(prefix + "ffn_down_exps.weight", [length, width, experts]),
      shared: try sharedLength.map { (length) throws(ForwardError) in
        try GatedUnit(
          gate: model.linear(prefix + "ffn_gate_shexp", width, length),
          up: model.linear(prefix + "ffn_up_shexp", width, length),
          down: model.linear(prefix + "ffn_down_shexp", length, width))
      },
      sharedGate: sharedLength == nil ? nil : try model.tensor(prefix + "ffn_gate_inp_shexp.weight", [width]))
  }
}

extension ModelReader {
  /// The factor of the experts' weights; 0 in a file means 1.
  var expertScale: Float {
    get throws(ForwardError) {
      let scale = Float(try optionalDouble("expert_weights_scale") ?? 1)
      return scale == 0 ? 1 : scale
    }
  }
}
