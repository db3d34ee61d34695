#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Mistral Small 3, Devstral 2 and Ministral 3: Llama's layers, whose scores may grow with the position.
extension DecoderArchitecture {
  static let mistral3 = DecoderArchitecture(
    name: "mistral3",
    honoured: [
      "attention.temperature_scale", "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow",
      "rope.scaling.yarn_log_multiplier",
    ]
  ) { model in
    let base = try DecoderBase(model)
    let original = "rope.scaling.original_context_length"
    let temperature = try model.temperature(length: model.has(original) ? original : "context_length")
    let attention = try (0..<base.layers).map { index in
      var part = try GroupedAttention(model, layer: index, width: base.width)
      part.temperature = temperature
      return part
    }
    var rope = try Rope(model, style: .adjacent, dimensions: attention[0].keyLength)
    if rope.yarn != nil {
      if let beta = try model.optionalDouble("rope.scaling.yarn_beta_fast"), beta != 0 { rope.yarn?.betaFast = beta }
      if let beta = try model.optionalDouble("rope.scaling.yarn_beta_slow"), beta != 0 { rope.yarn?.betaSlow = beta }
      // The multiplier divides the growth of queries and keys by its own.
      let multiplier = try model.optionalDouble("rope.scaling.yarn_log_multiplier") ?? 0
      rope.magnitude /= 1 + 0.1 * multiplier * log(max(1, rope.factor))
    }
    return try base.decoder(model, rope: rope) { index in
      DecoderLayer(
        attention: attention[index], feedForward: try DenseFeedForward(model, layer: index, width: base.width))
    }
  }
}
