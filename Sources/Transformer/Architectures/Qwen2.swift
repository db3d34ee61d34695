/// Qwen 2 and 2.5: llama with biases on q, k and v, and the other pairing of the rotation.
extension Architecture {
  static let qwen2 = Architecture(name: "qwen2") { facts in
    let frame = try Frame(facts)
    let attention = try (0..<frame.layers).map {
      try GroupedAttention(facts, layer: $0, width: frame.width, headNorms: false)
    }
    let rope = try Rope(facts, style: .halves, dimensions: attention[0].keyLength)
    return try frame.decoder(facts, rope: rope) { index in
      DecoderLayer(
        attention: attention[index],
        feedForward: try DenseFeedForward(facts, layer: index, width: frame.width))
    }
  }
}
