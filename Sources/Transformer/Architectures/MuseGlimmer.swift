/// Muse Glimmer: normalised embeddings; layers with a sliding window and a rotation, and every few layers one with neither;
/// gates of attention's results; norms of outputs with an addend of their own.
extension DecoderArchitecture {
  static let museGlimmer = DecoderArchitecture(
    name: "muse-glimmer", honoured: ["final_logit_softcapping", "logit_scale"]
  ) { model in
    let base = try DecoderBase(model)
    let window = try model.int("attention.sliding_window")
    let isSliding = try model.slidingLayers(count: base.layers, period: 4)
    let postEpsilon: Float = 1e-8
    let attention = try (0..<base.layers).map { index in
      let prefix = "blk.\(index)."
      var part = try GroupedAttention(model, layer: index, width: base.width, norms: .perHead)
      part.gate = try model.linear(prefix + "attn_gate", base.width, part.heads * part.valueLength)
      part.postNorm = try model.tensor(prefix + "post_attention_norm.weight", [base.width])
      part.postEpsilon = postEpsilon
      part.rotation = isSliding[index] ? 0 : nil
      part.slidingWindow = isSliding[index] ? window : nil
      return part
    }
    let rope = try Rope(model, style: .adjacent, dimensions: attention[0].keyLength)
    return try base.decoder(
      model, rotations: [LayerRotation(rope: rope)], normalizesEmbedding: true,
      logitScale: Float(try model.double("logit_scale"))
    ) { index in
      var dense = try DenseFeedForward(model, layer: index, width: base.width)
      dense.postNorm = try model.tensor("blk.\(index).post_ffw_norm.weight", [base.width])
      dense.postEpsilon = postEpsilon
      return DecoderLayer(attention: attention[index], feedForward: dense)
    }
  }
}
