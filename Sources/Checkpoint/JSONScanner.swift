import Files

/// A strict streaming JSON reader: files with hundreds of thousands of tokens are read without a tree.
///
/// Accepts `NaN` and `Infinity`, which Python's `json` writes. A byte order mark at the start is skipped.
struct JSONScanner {
  let path: String
  private let bytes: [UInt8]
  /// The offset of `bytes` in the file, for messages.
  private let origin: Int
  private(set) var offset: Int
  private var depth = 0
  /// Limits recursion. No file of a model nests deeper.
  private static let maximumDepth = 128

  init(path: String, bytes: [UInt8], origin: Int = 0) throws {
    self.path = path
    self.bytes = bytes
    self.origin = origin
    offset = try TextFile.content(of: bytes, path: path).startIndex
  }

  /// Reads a file of at most `limit` bytes.
  init(path: String, limit: Int) throws {
    let file = try PositionedFile(path: path)
    guard file.size <= limit else {
      throw FormatError(path: path, "has \(file.size) bytes, too many for this file")
    }
    let bytes = try file.bytes(in: 0..<file.size)
    if let foreign = ForeignFile(Array(bytes.prefix(ForeignFile.length))), foreign != .json {
      throw FormatError(path: path, "is \(foreign.noun), not a JSON file", hint: foreign.hint)
    }
    try self.init(path: path, bytes: bytes)
  }

  func failure(_ reason: String, at position: Int? = nil) -> FormatError {
    FormatError(path: path, offset: origin + (position ?? offset), "is not valid JSON: " + reason)
  }

  /// The next byte that is not whitespace; nil at the end.
  mutating func peek() -> UInt8? {
    while offset < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[offset]) { offset += 1 }
    return offset < bytes.count ? bytes[offset] : nil
  }

  private mutating func expect(_ byte: UInt8, _ description: String) throws {
    guard peek() == byte else { throw failure("\(description) is missing") }
    offset += 1
  }

  /// Calls `body` for every member. `body` must read the value.
  mutating func object(_ body: (String, inout JSONScanner) throws -> Void) throws {
    try enter("{")
    if peek() != UInt8(ascii: "}") {
      while true {
        guard peek() == UInt8(ascii: "\"") else { throw failure("a key is missing") }
        let key = try string()
        try expect(UInt8(ascii: ":"), "a colon")
        try body(key, &self)
        guard peek() == UInt8(ascii: ",") else { break }
        offset += 1
      }
    }
    try expect(UInt8(ascii: "}"), "a comma or }")
    depth -= 1
  }

  /// Calls `body` for every element. `body` must read the element.
  mutating func array(_ body: (inout JSONScanner) throws -> Void) throws {
    try enter("[")
    if peek() != UInt8(ascii: "]") {
      while true {
        try body(&self)
        guard peek() == UInt8(ascii: ",") else { break }
        offset += 1
      }
    }
    try expect(UInt8(ascii: "]"), "a comma or ]")
    depth -= 1
  }

  private mutating func enter(_ bracket: Unicode.Scalar) throws {
    try expect(UInt8(ascii: bracket), String(bracket))
    depth += 1
    guard depth <= Self.maximumDepth else { throw failure("nests deeper than \(Self.maximumDepth)") }
  }

  mutating func string() throws -> String {
    try expect(UInt8(ascii: "\""), "a string")
    let start = offset
    while offset < bytes.count, bytes[offset] != 0x22, bytes[offset] != 0x5C, bytes[offset] >= 0x20 { offset += 1 }
    // Most strings have no escapes.
    if offset < bytes.count, bytes[offset] == 0x22 {
      guard let text = String(validating: bytes[start..<offset], as: UTF8.self) else {
        throw failure("a string is not UTF-8", at: start)
      }
      offset += 1
      return text
    }
    var content = Array(bytes[start..<offset])
    while offset < bytes.count, bytes[offset] != 0x22 {
      let byte = bytes[offset]
      guard byte >= 0x20 else { throw failure("a string holds a control character") }
      offset += 1
      if byte == 0x5C { content.append(contentsOf: try escape()) } else { content.append(byte) }
    }
    guard offset < bytes.count else { throw failure("a string does not end", at: start) }
    offset += 1
    guard let text = String(validating: content, as: UTF8.self) else {
      throw failure("a string is not UTF-8", at: start)
    }
    return text
  }

  private mutating func escape() throws -> [UInt8] {
    guard offset < bytes.count else { throw failure("a string does not end") }
    let byte = bytes[offset]
    offset += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"): break
    default: throw failure("an unknown escape", at: offset - 1)
    }
    let start = offset - 2
    var value = try hexadecimal()
    if (0xD800..<0xDC00).contains(value), offset + 1 < bytes.count, bytes[offset] == 0x5C, bytes[offset + 1] == 0x75 {
      offset += 2
      let low = try hexadecimal()
      guard (0xDC00..<0xE000).contains(low) else { throw failure("half a surrogate pair", at: start) }
      value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(value) else { throw failure("half a surrogate pair", at: start) }
    return Array(UTF8.encode(scalar)!)
  }

  private mutating func hexadecimal() throws -> UInt32 {
    guard offset + 4 <= bytes.count,
      let value = UInt32(String(decoding: bytes[offset..<offset + 4], as: UTF8.self), radix: 16),
      bytes[offset] != 0x2B
    else { throw failure("an escape without four hexadecimal digits") }
    offset += 4
    return value
  }

  /// Reads a value of any kind.
  mutating func value() throws -> JSONValue {
    switch peek() {
    case UInt8(ascii: "{"):
      var fields: [String: JSONValue] = [:]
      try object { key, scanner in fields[key] = try scanner.value() }
      return .object(fields)
    case UInt8(ascii: "["):
      var elements: [JSONValue] = []
      try array { scanner in elements.append(try scanner.value()) }
      return .array(elements)
    case UInt8(ascii: "\""): return .string(try string())
    case nil: throw failure("it ends too early")
    default: return try word()
    }
  }

  private mutating func word() throws -> JSONValue {
    let start = offset
    while offset < bytes.count, !Self.ends.contains(bytes[offset]) { offset += 1 }
    let text = String(decoding: bytes[start..<offset], as: UTF8.self)
    switch text {
    case "null": return .null
    case "true": return .bool(true)
    case "false": return .bool(false)
    case "NaN": return .number(.nan)
    case "Infinity": return .number(.infinity)
    case "-Infinity": return .number(-.infinity)
    default: break
    }
    // Swift accepts more numbers than JSON does: a plus sign, hexadecimal, "inf".
    guard text.utf8.allSatisfy({ Self.numeric.contains($0) }), text.first != "+", text.first != "." else {
      throw failure("an unknown word", at: start)
    }
    if let integer = Int(text) { return .int(integer) }
    guard let number = Double(text) else { throw failure("an unknown word", at: start) }
    return .number(number)
  }

  private static let ends = Set(" \n\r\t,:]}[{\"".utf8)
  private static let numeric = Set("0123456789+-.eE".utf8)

  /// Skips a value.
  mutating func skip() throws { _ = try value() }

  /// Checks that only whitespace follows the value.
  mutating func end() throws {
    guard peek() == nil else { throw failure("something follows its end") }
  }
}
