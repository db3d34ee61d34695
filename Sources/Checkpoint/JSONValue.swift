/// A JSON value of any kind.
package enum JSONValue: Sendable, Hashable {
  case null
  case bool(Bool)
  case int(Int)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  package subscript(key: String) -> JSONValue? {
    if case .object(let fields) = self { fields[key] } else { nil }
  }

  package var int: Int? { if case .int(let value) = self { value } else { nil } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var string: String? { if case .string(let value) = self { value } else { nil } }
  package var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  package var object: [String: JSONValue]? { if case .object(let value) = self { value } else { nil } }
  package var double: Double? {
    switch self {
    case .int(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// Reads a JSON file of at most `limit` bytes.
  package static func read(_ path: String, limit: Int = 256 << 20) throws -> JSONValue {
    try JSONValue(JSONScanner(path: path, limit: limit))
  }

  /// - Parameter path: the file's name, for messages.
  package init(bytes: [UInt8], path: String) throws { try self.init(try JSONScanner(path: path, bytes: bytes)) }

  private init(_ scanner: JSONScanner) throws {
    var scanner = scanner
    self = try scanner.value()
    try scanner.end()
  }
}
