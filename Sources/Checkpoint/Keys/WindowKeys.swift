extension KeyRule {
  /// Layers with a sliding window. A GGUF of these architectures cannot have them.
  ///
  /// - Parameter isUniform: the window applies to all layers, and `max_window_layers` and `layer_types` have no effect.
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
          "a GGUF of \(gguf) has no layers with a window of \(window) tokens, as from layer \(first) on")
      ]
    }
  }

  /// The kinds of the layers. A value that is not a list is returned as one unknown kind.
  private static func kinds(_ value: JSONValue) -> [JSONValue] { value.array ?? [value] }

  /// The same keys for an architecture without sliding windows.
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

  /// A window of all layers, which a GGUF leaves out: results are exact for texts up to its length.
  static let limitingWindow = KeyRule("sliding_window") { config, _ in
    guard let value = config["sliding_window"], value.int ?? 0 <= 0 else { return [] }
    return [RefusedKey("sliding_window", value.text, "it is not a positive integer")]
  }
}

extension Config {
  /// The window of an architecture whose layers all have one; nil if the window covers the whole context.
  ///
  /// - Parameter absent: the value of a missing key.
  func limitingWindow(absent: Int?) -> Int? {
    guard let window = has("sliding_window") ? self["sliding_window"]?.int : absent, window > 0,
      window < self["max_position_embeddings"]?.int ?? .max
    else { return nil }
    return window
  }
}
