import GGUF

/// A key with different values in two models, or missing in one of them.
public struct MetadataDifference: Sendable, Equatable {
  public let key: String
  /// nil if the model lacks the key.
  public let first: MetadataValue?
  public let second: MetadataValue?

  public init(key: String, first: MetadataValue?, second: MetadataValue?) {
    (self.key, self.first, self.second) = (key, first, second)
  }

  /// All differences, in the first model's order, then the keys of the second alone.
  public static func between(_ first: Metadata, _ second: Metadata) -> [MetadataDifference] {
    let keys = first.keys.elements + second.keys.filter { first[$0] == nil }
    return keys.compactMap { key in
      first[key] == second[key] ? nil : MetadataDifference(key: key, first: first[key], second: second[key])
    }
  }
}
