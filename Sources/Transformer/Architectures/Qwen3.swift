/// Qwen 3: the queries and keys of every head are normalised before the rotation.
extension DecoderArchitecture {
  static let qwen3 = DecoderArchitecture(name: "qwen3") { model in
    let base = try DecoderBase(model)
    let attention = try (0..<base.layers).map {
      try GroupedAttention(model, layer: $0, width: base.width, headNorms: true)
    }
    let rope = try Rope(model, style: .halves, dimensions: attention[0].keyLength)
    return try base.decoder(model, rope: rope) { index in
      DecoderLayer(
        attention: attention[index],
        feedForward: try DenseFeedForward(model, layer: index, width: base.width))
    }
  }
}
