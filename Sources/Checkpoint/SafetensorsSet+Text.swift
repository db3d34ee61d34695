extension SafetensorsSet {
  /// Names the tensors of a language model that is a part of a larger model as if it were alone, and removes towers.
  ///
  /// The text model's tensors begin with `language_model.` or `model.language_model.`, and blocks for multi-token
  /// prediction with `mtp.` or `model.mtp.`.
  ///
  /// - Parameter hasTowers: config.json describes a tower.
  mutating func keepText(hasTowers: Bool) {
    for name in names {
      if hasTowers, Self.isOfTower(name) {
        remove(name)
      } else if let range = name.range(of: "language_model."),
        name[..<range.lowerBound].isEmpty || name[..<range.lowerBound] == "model."
      {
        rename(name, to: String(name[..<range.lowerBound] + name[range.upperBound...]))
      } else if name.hasPrefix("model.mtp.") {
        rename(name, to: String(name.dropFirst("model.".count)))
      }
    }
  }

  private static func isOfTower(_ name: String) -> Bool {
    let inner = name.hasPrefix("model.") ? name.dropFirst("model.".count) : name[...]
    return towers.contains { inner.hasPrefix($0) }
  }

  private static let towers = [
    "visual.", "vision_tower.", "vision_model.", "vision_encoder.", "vision_embedder.", "audio_tower.", "audio_model.",
    "audio_encoder.", "multi_modal_projector.", "mm_projector.", "embed_vision.", "embed_audio.", "vision_adapter.",
    "vision_projection.",
  ]
}
