/// Llama 1 to 3, Mistral, and Mixtral with its experts.
extension DecoderArchitecture {
  static let llama = grouped(
    "llama", rotation: .adjacent,
    feedForward: { model, index, width in
      guard try model.hasExperts else { return try DenseFeedForward(model, layer: index, width: width) }
      return try ExpertFeedForward(model, layer: index, width: width, norm: "ffn_norm", normalizes: true)
    })
}
