extension KeyRule {
  /// Rules for every architecture: two keys of one number that differ, and ids beyond the vocabulary.
  static let contradictions = [rotationBase, aliases, tokenIDs]

  /// `rope_theta` at the top level, which must equal the one in the object.
  private static let rotationBase = KeyRule("rope_theta") { config, _ in
    let (name, parameters) = RopeConfig.parameters(of: config)
    guard let beside = config.given("rope_theta"), let inside = parameters["rope_theta"], inside != .null,
      !inside.equals(beside)
    else { return [] }
    return [RefusedKey("rope_theta", beside.text, "\(name).rope_theta is \(inside.text)")]
  }

  /// Several names of one number. 0 means that the model has no experts under that name.
  private static let aliases = KeyRule { config, _ in
    [
      ["num_experts_per_tok", "experts_per_token"], ["num_experts", "num_local_experts", "n_routed_experts"],
    ].flatMap { names -> [RefusedKey] in
      let given = names.compactMap { name in config.given(name).map { (name: name, value: $0) } }
        .filter { $0.value.double ?? 0 > 0 }
      guard let first = given.first else { return [] }
      return given.dropFirst().filter { !$0.value.equals(first.value) }.map {
        RefusedKey($0.name, $0.value.text, "\(first.name) is \(first.value.text)")
      }
    }
  }

  /// Ids of special tokens. Older configurations use -1 for none.
  private static let tokenIDs = KeyRule { config, _ in
    guard let count = config["vocab_size"]?.int else { return [] }
    return ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].compactMap { kind in
      let key = kind + "_token_id"
      guard let value = config[key],
        let other = (value.array ?? [value]).first(where: { $0.int.map { $0 < -1 || $0 >= count } ?? true })
      else { return nil }
      return RefusedKey(key, other.text, "the vocabulary has the tokens 0 to \(count - 1)")
    }
  }
}
