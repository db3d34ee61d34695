/// SmolLM3: every fourth layer has no rotation.
extension DecoderArchitecture {
  static let smollm3 = grouped(
    "smollm3", rotation: .adjacent,
    adjust: { attention, _, layer in if (layer + 1) % 4 == 0 { attention.rotation = nil } })
}
