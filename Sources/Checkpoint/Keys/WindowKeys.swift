extension KeyRule {
  /// Layers that see some positions back only. No GGUF of these architectures has them.
  ///
  /// - Parameter isUniform: the window is all layers', whatever `max_window_layers` and `layer_types` say.
  static func slidingWindow(isUniform: Bool) -> KeyRule {
    KeyRule("use_sliding_window", "layer_types") { config, gguf in
      let kinds = config["layer_types"].map(Self.kinds)
      if let other = kinds?.first(where: { $0 != .string("full_attention") && $0 != .string("sliding_attention") }) {
        return [RefusedKey("layer_types", other.text, "a GGUF of \(gguf) has full attention in all layers")]
      }
      let named = kinds?.firstIndex(of: .string("sliding_attention"))
      guard config["use_sliding_window"]?.isTrue == true else {
        guard let named else { return [] }
        return [RefusedKey("layer_types", "sliding from layer \(named) on", "use_sliding_window is not true")]
      }
      let window = config.has("sliding_window") ? config["sliding_window"]?.int : 4096
      let layers = config["num_hidden_layers"]?.int ?? 0
      let first = isUniform ? 0 : kinds != nil ? named : config["max_window_layers"]?.int ?? 28
      guard let window, let first, first < layers, window < config["max_position_embeddings"]?.int ?? .max else {
        return []
      }
      return [
        RefusedKey(
          "use_sliding_window", config["use_sliding_window"]?.text ?? "true",
          "a GGUF of \(gguf) has no layers that see \(window) tokens back, as from layer \(first) on")
      ]
    }
  }

  /// The kinds of the layers; another value than a list is one that nothing knows.
  private static func kinds(_ value: JSONValue) -> [JSONValue] { value.array ?? [value] }

  /// The same of architectures that know of no such layers.
  static let noSlidingWindow = KeyRule("use_sliding_window", "layer_types") { config, gguf in
    var refused: [RefusedKey] = []
    let reason = "a GGUF of \(gguf) has full attention in all layers"
    if let kind = config["layer_types"].map(Self.kinds)?.first(where: { $0 != .string("full_attention") }) {
      refused.append(RefusedKey("layer_types", kind.text, reason))
    }
    if let flag = config["use_sliding_window"], flag.isTrue {
      refused.append(RefusedKey("use_sliding_window", flag.text, reason))
    }
    return refused
  }

  /// A window for all layers, which files leave out: texts up to its length are exact.
  static let limitingWindow = KeyRule("sliding_window") { config, _ in
    guard let value = config["sliding_window"], value.int ?? 0 <= 0 else { return [] }
    return [RefusedKey("sliding_window", value.text, "it is not a positive integer")]
  }
}

extension Config {
  /// The window of an architecture all of whose layers have it; nil where no position of the context is beyond it.
  ///
  /// - Parameter absent: what a missing key means.
  func limitingWindow(absent: Int?) -> Int? {
    guard let window = has("sliding_window") ? self["sliding_window"]?.int : absent, window > 0,
      window < self["max_position_embeddings"]?.int ?? .max
    else { return nil }
    return window
  }
}
