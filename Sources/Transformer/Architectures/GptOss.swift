import GGUF

/// gpt-oss: experts with biases, attention sinks, and in every second layer attention to a window.
extension DecoderArchitecture {
  static let gptOss = DecoderArchitecture(name: "gpt-oss") { model in
    let base = try DecoderBase(model)
    let window = try model.int("attention.sliding_window")
    let isSliding = try model.slidingLayers(count: base.layers, period: 2)
    let attention = try (0..<base.layers).map { index in
      var attention = try GroupedAttention(model, layer: index, width: base.width)
      attention.sinks = try model.tensor("blk.\(index).attn_sinks.weight", [attention.heads])
      if isSliding[index] { attention.slidingWindow = window }
      return attention
    }
    let rope = try Rope(model, style: .halves, dimensions: attention[0].keyLength)
    return try base.decoder(model, rotations: [LayerRotation(rope: rope)]) { index in
      DecoderLayer(
        attention: attention[index],
        feedForward: try ExpertFeedForward(gptOss: model, layer: index, width: base.width))
    }
  }
}

extension ExpertFeedForward {
  fileprivate init(gptOss model: ModelReader, layer index: Int, width: Int) throws(ForwardError) {
    let prefix = "blk.\(index)."
    let experts = try model.int("expert_count")
    let length = try model.uniformInt("expert_feed_forward_length")
    func matrices(_ name: String, _ inputs: Int, _ outputs: Int) throws(ForwardError) -> Linear {
      Linear(
        weight: try model.tensor(prefix + name + ".weight", [inputs, outputs, experts]),
        bias: try model.tensor(prefix + name + ".bias", [outputs, experts]))
    }
    let gates = try matrices("ffn_gate_exps", width, length)
    let ups = try matrices("ffn_up_exps", width, length)
    let downs = try matrices("ffn_down_exps", length, width)
    self.init(
      norm: try model.tensor(prefix + "post_attention_norm.weight", [width]),
      router: Router(
        weight: try model.tensor(prefix + "ffn_gate_inp.weight", [width, experts]),
        logitBias: try model.tensor(prefix + "ffn_gate_inp.bias", [experts]), bias: nil, gate: .selectedSoftmax,
        experts: experts, used: try model.int("expert_used_count", in: 1...experts), groups: 1, groupsUsed: 1,
        normalizes: false, scale: try model.expertScale),
      gates: gates.weight, ups: ups.weight, downs: downs.weight, gateBiases: gates.bias, upBiases: ups.bias,
      downBiases: downs.bias, shared: nil, function: .clippedSilu)
  }
}
