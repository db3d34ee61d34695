/// Olmo 2 and 3: norms of the outputs, none of the inputs, and norms over the queries and keys of all heads. Layers of
/// Olmo 3 with a sliding window are rotated without the scaling of the others.
extension DecoderArchitecture {
  static let olmo2 = DecoderArchitecture(name: "olmo2") { model in
    let base = try DecoderBase(model)
    let window = try model.slidingWindow
    let isSliding =
      window == nil
      ? Array(repeating: false, count: base.layers) : try model.slidingLayers(count: base.layers, period: 4)
    let attention = try (0..<base.layers).map { index in
      var part = try GroupedAttention(model, layer: index, width: base.width, norms: .allHeads, hasNorm: false)
      part.postNorm = try model.tensor("blk.\(index).post_attention_norm.weight", [base.width])
      if isSliding[index] {
        part.slidingWindow = window
        part.rotation = 1
      }
      return part
    }
    let full = try Rope(model, style: .halves, dimensions: attention[0].keyLength)
    let sliding = Rope(style: .halves, dimensions: full.dimensions, base: full.base)
    return try base.decoder(model, rotations: [LayerRotation(rope: full), LayerRotation(rope: sliding)]) { index in
      var dense = try DenseFeedForward(model, layer: index, width: base.width, norm: nil)
      dense.postNorm = try model.tensor("blk.\(index).post_ffw_norm.weight", [base.width])
      return DecoderLayer(attention: attention[index], feedForward: dense)
    }
  }
}
