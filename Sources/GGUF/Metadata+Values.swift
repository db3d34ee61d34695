import OrderedCollections

/// A required key that is missing, or a key whose value is of the wrong type or out of range.
public struct MetadataError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The whole key: `qwen2.block_count`.
  public let key: String
  /// The fault, as a predicate of the key: `is not an integer`.
  public let reason: String
  private static let absence = "is missing"

  /// - Parameter reason: the fault, as a predicate of the key.
  public init(key: String, _ reason: String) {
    self.key = key
    self.reason = reason
  }

  /// The error for a missing key.
  public static func missing(_ key: String) -> MetadataError { MetadataError(key: key, absence) }

  /// Whether the key is missing.
  public var isMissing: Bool { reason == Self.absence }

  public var description: String { "key \(key): \(reason)" }
}

extension OrderedDictionary where Key == String, Value == MetadataValue {
  /// An integer of any width; nil where the key is missing or its value is not an integer.
  public func optionalInt(_ key: String) -> Int? { self[key]?.integer }

  /// An integer or an array of integers, of any width; nil where the key is missing or has another value.
  public func optionalInts(_ key: String) -> [Int]? {
    if case .array(let array)? = self[key] { array.integers } else { optionalInt(key).map { [$0] } }
  }

  /// A float of either width; nil where the key is missing or has another value.
  public func optionalFloat(_ key: String) -> Float? {
    switch self[key] {
    case .float32(let x): x
    case .float64(let x): Float(x)
    default: nil
    }
  }

  /// A bool; nil where the key is missing or has another value.
  public func optionalBool(_ key: String) -> Bool? {
    if case .bool(let x) = self[key] { x } else { nil }
  }

  /// A string; nil where the key is missing or has another value.
  public func optionalString(_ key: String) -> String? {
    if case .string(let x) = self[key] { x } else { nil }
  }

  /// An array of strings; nil where the key is missing or has another value.
  public func optionalStrings(_ key: String) -> [String]? {
    if case .array(.string(let x)) = self[key] { x } else { nil }
  }

  /// A required integer of any width.
  public func int(_ key: String) throws(MetadataError) -> Int { try need(key, optionalInt(key), "an integer") }
  /// A required float of either width.
  public func float(_ key: String) throws(MetadataError) -> Float { try need(key, optionalFloat(key), "a float") }
  /// A required string.
  public func string(_ key: String) throws(MetadataError) -> String { try need(key, optionalString(key), "a string") }
  /// A required array of strings.
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
