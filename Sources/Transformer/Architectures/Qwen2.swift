/// Qwen 2 and 2.5: llama with biases of q, k and v, and with the rotation's pairs in halves.
extension DecoderArchitecture {
  static let qwen2 = DecoderArchitecture(name: "qwen2") { model in
    let base = try DecoderBase(model)
    let attention = try (0..<base.layers).map {
      try GroupedAttention(model, layer: $0, width: base.width, headNorms: false)
    }
    let rope = try Rope(model, style: .halves, dimensions: attention[0].keyLength)
    return try base.decoder(model, rope: rope) { index in
      DecoderLayer(
        attention: attention[index],
        feedForward: try DenseFeedForward(model, layer: index, width: base.width))
    }
  }
}
