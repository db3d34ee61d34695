/// Qwen 3 and 3-VL with experts.
extension DecoderArchitecture {
  static let qwen3moe = grouped("qwen3moe", norms: .perHead, feedForward: experts)
  static let qwen3vlmoe = grouped(
    "qwen3vlmoe", honoured: ["n_deepstack_layers"], norms: .perHead, feedForward: experts)

  private static let experts: FeedForward = { model, index, width in
    try ExpertFeedForward(model, layer: index, width: width, norm: "ffn_norm", normalizes: true)
  }
}
