/// Llama 1 to 3, Mistral, and Mixtral with its experts.
extension DecoderArchitecture {
  static let llama = DecoderArchitecture(name: "llama") { model in
    let base = try DecoderBase(model)
    let attention = try (0..<base.layers).map {
      try GroupedAttention(model, layer: $0, width: base.width, headNorms: false)
    }
    let rope = try Rope(model, style: .adjacent, dimensions: attention[0].keyLength)
    return try base.decoder(model, rope: rope) { index in
      DecoderLayer(
        attention: attention[index],
        feedForward: try model.hasExperts
          ? ExpertFeedForward(model, layer: index, width: base.width, norm: "ffn_norm", normalizes: true)
          : DenseFeedForward(model, layer: index, width: base.width))
    }
  }
}
