/// Seed-OSS: biases of queries, keys and values.
extension DecoderArchitecture {
  static let seedOSS = grouped(
    "seed_oss",
    feedForward: { try DenseFeedForward($0, layer: $1, width: $2, norm: "post_attention_norm") })
}
