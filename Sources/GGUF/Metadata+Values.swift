import OrderedCollections

/// A key that a model must have and hasn't, or has with a value of another kind.
public struct MetadataError: Error, Equatable, Sendable, CustomStringConvertible {
  public let key: String
  public let reason: String

  public init(key: String, _ reason: String) {
    self.key = key
    self.reason = reason
  }

  public var description: String { "key \(key): \(reason)" }
}

extension OrderedDictionary where Key == String, Value == MetadataValue {
  /// An integer of any width; nil where the key is absent or holds something else.
  public func optionalInt(_ key: String) -> Int? {
    switch self[key] {
    case .uint8(let x): Int(x)
    case .int8(let x): Int(x)
    case .uint16(let x): Int(x)
    case .int16(let x): Int(x)
    case .uint32(let x): Int(x)
    case .int32(let x): Int(x)
    case .uint64(let x): Int(exactly: x)
    case .int64(let x): Int(x)
    default: nil
    }
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
      throw MetadataError(key: key, self[key] == nil ? "is missing" : "is not \(kind)")
    }
    return value
  }
}
