/// Phi 3 to 4: joint matrices of queries, keys and values, and of gate and up. Models for long texts have rope factors for
/// texts within the original context, and others for longer ones.
extension DecoderArchitecture {
  static let phi3 = DecoderArchitecture(name: "phi3") { model in
    let base = try DecoderBase(model)
    let attention = try (0..<base.layers).map { try GroupedAttention(model, layer: $0, width: base.width) }
    let rope = try Rope(model, style: .halves, dimensions: attention[0].keyLength)
    var rotation = LayerRotation(
      rope: rope, factors: try model.optional("rope_factors_short.weight", [rope.dimensions / 2]))
    if let long = try model.optional("rope_factors_long.weight", [rope.dimensions / 2]) {
      rotation.longFactors = (long, above: try model.int("rope.scaling.original_context_length"))
    }
    // Runtimes ignore the window, which is that of all layers.
    let limit = try model.slidingWindow.map {
      TextLimit(key: model.key("attention.sliding_window"), positions: $0)
    }
    return try base.decoder(model, rotations: [rotation], textLimit: limit) { index in
      DecoderLayer(
        attention: attention[index],
        feedForward: try DenseFeedForward(
          model, layer: index, width: base.width,
          isFused: model.source.tensor(named: "blk.\(index).ffn_gate.weight") == nil))
    }
  }
}
