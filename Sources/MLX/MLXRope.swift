/// The forms of config.json's keys for rotary positions.
///
/// Version 5 of the `transformers` package writes `rope_parameters`. Most classes of mlx_lm read `rope_theta` and
/// `rope_scaling` alone, and some `rope_parameters` alone; all take their defaults where these are missing.
enum MLXRope {
  private static func object(_ text: String?, _ path: String) -> JSONText? {
    text.flatMap { try? JSONText(Array($0.utf8), path: path) }
  }

  /// Writes `rope_parameters` from the older keys, with what else a class needs in it.
  ///
  /// - Parameter needed: keys with their values where they are missing; none for classes that do not read it.
  static func gather(_ config: inout JSONText, _ needed: [(key: String, value: String)], path: String) {
    guard !needed.isEmpty else { return }
    let older = object(config["rope_scaling"], path)
    let given = object(config["rope_parameters"], path)
    guard var rope = given ?? older ?? (try? JSONText(Array("{}".utf8), path: path)) else { return }
    let missing = needed.filter { !rope.has($0.key) || rope[$0.key] == "null" }
    guard !missing.isEmpty || given == nil else { return }
    for (key, value) in missing { rope.set(key, value) }
    config.set("rope_parameters", rope.inline)
    // Both forms must be equal.
    if older != nil { config.remove("rope_scaling") }
  }

  /// Writes the older keys from `rope_parameters`.
  static func spread(_ config: inout JSONText, modelType: String, path: String) {
    // The length beside has precedence in the `transformers` package; mlx_lm reads the one inside, or takes a default.
    let key = "original_max_position_embeddings"
    for name in ["rope_parameters", "rope_scaling"] {
      guard var rope = object(config[name], path), let length = config[key] ?? config["max_position_embeddings"],
        ["\"yarn\"", "\"llama3\""].contains(rope["rope_type"] ?? rope["type"]), length != "null",
        config.has(key) || !rope.has(key), rope[key] != length
      else { continue }
      rope.set(key, length)
      config.set(name, rope.inline)
    }
    if let all = object(config["rope_parameters"], path) { spread(all, to: &config, modelType: modelType, path: path) }
  }

  private static func spread(_ all: JSONText, to config: inout JSONText, modelType: String, path: String) {
    // Some have one for each kind of layers. Gemma 4's class reads these, the others only the older keys.
    if object(all["full_attention"], path) != nil {
      guard !modelType.hasPrefix("gemma4") else { return }
      config.remove("rope_parameters")
    }
    if let sliding = object(all["sliding_attention"], path), let theta = sliding["rope_theta"],
      modelType.hasPrefix("gemma3"), !config.has("rope_local_base_freq")
    {
      config.set("rope_local_base_freq", theta)
    }
    var rope = object(all["full_attention"], path) ?? all
    if let theta = rope["rope_theta"] {
      if !config.has("rope_theta") || config["rope_theta"] == "null" { config.set("rope_theta", theta) }
      rope.remove("rope_theta")
    }
    if ["glm4_moe", "phi3", "qwen3_next"].contains(modelType), let factor = rope["partial_rotary_factor"],
      !config.has("partial_rotary_factor")
    {
      config.set("partial_rotary_factor", factor)
    }
    let kind = rope["rope_type"] ?? rope["type"]
    guard let kind, kind != "\"default\"", !config.has("rope_scaling") || config["rope_scaling"] == "null" else {
      return
    }
    if !rope.has("type") { rope.set("type", kind) }
    config.set("rope_scaling", rope.inline)
  }
}

extension JSONText {
  /// The object on one line.
  fileprivate var inline: String {
    "{" + fields.map { "\(Self.quoted($0.key)): \($0.value)" }.joined(separator: ", ") + "}"
  }
}
