/// Granite: factors of the embeddings, of scores, of what a layer adds, and of logits.
extension DecoderArchitecture {
  static let granite = DecoderArchitecture(
    name: "granite", honoured: ["attention.scale", "embedding_scale", "residual_scale", "logit_scale"]
  ) { model in
    let base = try DecoderBase(model)
    // 0 means the default.
    func factor(_ name: String) throws -> Float? {
      try model.optionalDouble(name).flatMap { $0 == 0 ? nil : Float($0) }
    }
    let (residual, score) = (try factor("residual_scale") ?? 1, try factor("attention.scale"))
    let attention = try (0..<base.layers).map { index in
      var part = try GroupedAttention(model, layer: index, width: base.width)
      part.scale = score
      part.outputScale = residual
      return part
    }
    let rope = try Rope(model, style: .adjacent, dimensions: attention[0].keyLength)
    let factors = try model.optional("rope_freqs.weight", [rope.dimensions / 2])
    return try base.decoder(
      model, rotations: [LayerRotation(rope: rope, factors: factors)],
      embeddingScale: try factor("embedding_scale") ?? 1, logitScale: 1 / (try factor("logit_scale") ?? 1)
    ) { index in
      var dense = try DenseFeedForward(model, layer: index, width: base.width)
      dense.outputScale = residual
      return DecoderLayer(attention: attention[index], feedForward: dense)
    }
  }
}
