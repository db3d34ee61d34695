import OrderedCollections

/// A key that a model must have and hasn't, or has with a value of another kind.
public struct MetadataError: Error, Equatable, Sendable, CustomStringConvertible {
  public let key: String
  public let reason: String
  private static let absence = "is missing"

  public init(key: String, _ reason: String) {
    self.key = key
    self.reason = reason
  }

  public static func missing(_ key: String) -> MetadataError { MetadataError(key: key, absence) }

  /// Whether the key is absent, and not only of another kind.
  public var isMissing: Bool { reason == Self.absence }

  public var description: String { "key \(key): \(reason)" }
}

extension OrderedDictionary where Key == String, Value == MetadataValue {
  /// An integer of any width; nil where the key is absent or holds something else.
  public func optionalInt(_ key: String) -> Int? { self[key]?.integer }

  /// An integer, or an array of them, of any width; nil where the key is absent or holds something else.
  public func optionalInts(_ key: String) -> [Int]? {
    if case .array(let array)? = self[key] { array.integers } else { optionalInt(key).map { [$0] } }
  }

  public func optionalFloat(_ key: String) -> Float? {
    switch self[key] {
    case .float32(let x): x
    case .float64(let x): Float(x)
    default: nil
    }
  }

  public func optionalBool(_ key: String) -> Bool? {
    if case .bool(let x) = self[key] { x } else { nil }
  }

  public func optionalString(_ key: String) -> String? {
    if case .string(let x) = self[key] { x } else { nil }
  }

  public func optionalStrings(_ key: String) -> [String]? {
    if case .array(.string(let x)) = self[key] { x } else { nil }
  }

  public func int(_ key: String) throws(MetadataError) -> Int { try need(key, optionalInt(key), "an integer") }
  public func float(_ key: String) throws(MetadataError) -> Float { try need(key, optionalFloat(key), "a float") }
  public func string(_ key: String) throws(MetadataError) -> String { try need(key, optionalString(key), "a string") }
  public func strings(_ key: String) throws(MetadataError) -> [String] {
    try need(key, optionalStrings(key), "an array of strings")
  }

  private func need<T>(_ key: String, _ value: T?, _ kind: String) throws(MetadataError) -> T {
    guard let value else {
      throw self[key] == nil ? .missing(key) : MetadataError(key: key, "is not \(kind)")
    }
    return value
  }
}
