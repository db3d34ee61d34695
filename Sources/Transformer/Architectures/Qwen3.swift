/// Qwen 3: queries and keys of every head are normalised before they turn.
extension Architecture {
  static let qwen3 = Architecture(name: "qwen3") { facts in
    let frame = try Frame(facts)
    let attention = try (0..<frame.layers).map {
      try GroupedAttention(facts, layer: $0, width: frame.width, headNorms: true)
    }
    let rope = try Rope(facts, style: .halves, dimensions: attention[0].keyLength)
    return try frame.decoder(facts, rope: rope) { index in
      DecoderLayer(
        attention: attention[index],
        feedForward: try DenseFeedForward(facts, layer: index, width: frame.width))
    }
  }
}
