import Checkpoint
import Files

/// The text of a JSON object whose values are kept as they are written.
///
/// Numbers such as `1e-05` and escapes stay what the author of a config.json wrote.
struct JSONText: Sendable {
  /// Keys with their values' text, in the file's order.
  private(set) var fields: [(key: String, value: String)] = []

  /// - Parameter text: a valid JSON object.
  /// - Throws: `FormatError` where the text is no JSON object.
  init(_ bytes: [UInt8], path: String) throws {
    guard case .object? = Optional(try JSONValue(bytes: bytes, path: path)) else {
      throw FormatError(path: path, "is not a JSON object")
    }
    var index = bytes.firstIndex(of: UInt8(ascii: "{"))! + 1
    func skipBlanks() { while index < bytes.count, bytes[index] <= 32 { index += 1 } }
    // The text is valid, so that a value ends at a comma or brace outside of strings and brackets.
    func end(from start: Int) -> Int {
      var (index, depth) = (start, 0)
      while index < bytes.count {
        switch bytes[index] {
        case UInt8(ascii: "\""):
          index += 1
          while bytes[index] != UInt8(ascii: "\"") { index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1 }
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
          if depth == 0 { return index }
          depth -= 1
        case UInt8(ascii: ","), UInt8(ascii: ":"): if depth == 0 { return index }
        default: break
        }
        index += 1
      }
      return index
    }
    skipBlanks()
    while index < bytes.count, bytes[index] != UInt8(ascii: "}") {
      let keyEnd = end(from: index)
      let key = try JSONValue(bytes: Array(bytes[index..<keyEnd]), path: path).string ?? ""
      index = keyEnd + 1
      skipBlanks()
      let valueEnd = end(from: index)
      var value = bytes[index..<valueEnd]
      while let last = value.last, last <= 32 { value.removeLast() }
      fields.append((key, String(decoding: value, as: UTF8.self)))
      index = bytes[valueEnd] == UInt8(ascii: ",") ? valueEnd + 1 : valueEnd
      skipBlanks()
    }
  }

  mutating func remove(_ key: String) { fields.removeAll { $0.key == key } }

  /// Replaces the value of a key, or adds it at the end.
  mutating func set(_ key: String, _ value: String) {
    if let index = fields.firstIndex(where: { $0.key == key }) {
      fields[index].value = value
    } else {
      fields.append((key, value))
    }
  }

  /// The text of a value.
  subscript(key: String) -> String? { fields.last { $0.key == key }?.value }

  func has(_ key: String) -> Bool { fields.contains { $0.key == key } }

  var text: String {
    "{\n" + fields.map { "    \(Self.quoted($0.key)): \($0.value)" }.joined(separator: ",\n") + "\n}\n"
  }

  /// A string in quotation marks.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case _ where scalar.value < 32:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
