/// Qwen 3 with experts.
extension DecoderArchitecture {
  static let qwen3moe = DecoderArchitecture(name: "qwen3moe") { model in
    let base = try DecoderBase(model)
    let attention = try (0..<base.layers).map {
      try GroupedAttention(model, layer: $0, width: base.width, headNorms: true)
    }
    let rope = try Rope(model, style: .halves, dimensions: attention[0].keyLength)
    return try base.decoder(model, rope: rope) { index in
      DecoderLayer(
        attention: attention[index],
        feedForward: try ExpertFeedForward(
          model, layer: index, width: base.width, norm: "ffn_norm", normalizes: true))
    }
  }
}
