/// Llama 1 to 3 and their kin, Mistral, and Mixtral (the same with experts).
extension Architecture {
  static let llama = Architecture(name: "llama") { facts in
    let frame = try Frame(facts)
    let attention = try (0..<frame.layers).map {
      try GroupedAttention(facts, layer: $0, width: frame.width, headNorms: false)
    }
    let rope = try Rope(facts, style: .adjacent, dimensions: attention[0].keyLength)
    return try frame.decoder(facts, rope: rope) { index in
      DecoderLayer(
        attention: attention[index],
        feedForward: try facts.hasExperts
          ? ExpertFeedForward(facts, layer: index, width: frame.width, norm: "ffn_norm", normalizes: true)
          : DenseFeedForward(facts, layer: index, width: frame.width))
    }
  }
}
