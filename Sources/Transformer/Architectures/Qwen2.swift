/// Qwen 2 and 2.5: queries, keys and values have biases.
extension DecoderArchitecture {
  static let qwen2 = grouped("qwen2")
}
