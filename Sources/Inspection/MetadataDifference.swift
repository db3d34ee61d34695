import GGUF

/// A key with different values in two models, or missing in one of them.
public struct MetadataDifference: Sendable, Equatable {
  /// The key.
  public let key: String
  /// The value in the first model; nil if it is missing.
  public let first: MetadataValue?
  /// The value in the second model; nil if it is missing.
  public let second: MetadataValue?

  package init(key: String, first: MetadataValue?, second: MetadataValue?) {
    (self.key, self.first, self.second) = (key, first, second)
  }

  /// All differences, in the first model's order, followed by the keys that only the second has.
  public static func between(_ first: Metadata, _ second: Metadata) -> [MetadataDifference] {
    let keys = first.keys.elements + second.keys.filter { first[$0] == nil }
    return keys.compactMap { key in
      first[key] == second[key] ? nil : MetadataDifference(key: key, first: first[key], second: second[key])
    }
  }
}
