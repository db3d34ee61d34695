/// Qwen 3 with experts.
extension Architecture {
  static let qwen3moe = Architecture(name: "qwen3moe") { facts in
    let frame = try Frame(facts)
    let attention = try (0..<frame.layers).map {
      try GroupedAttention(facts, layer: $0, width: frame.width, headNorms: true)
    }
    let rope = try Rope(facts, style: .halves, dimensions: attention[0].keyLength)
    return try frame.decoder(facts, rope: rope) { index in
      DecoderLayer(
        attention: attention[index],
        feedForward: try ExpertFeedForward(
          facts, layer: index, width: frame.width, norm: "ffn_norm", normalizes: true))
    }
  }
}
