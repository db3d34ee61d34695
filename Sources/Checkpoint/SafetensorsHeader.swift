import Files

/// The JSON header of a safetensors file: an entry per tensor, and `__metadata__`, a map of strings.
///
/// Duplicate keys are refused, as the format demands: readers that take the first and readers that take the last would
/// read different models.
struct SafetensorsHeader {
  struct Entry {
    let name: String
    let dtype: String
    let shape: [Int]
    /// First byte and end, relative to the end of the header.
    let offsets: [Int]
  }

  /// The limit of the format's reference reader, in bytes.
  static let maximumLength = 100_000_000

  private(set) var entries: [Entry] = []
  private(set) var metadata: [String: String] = [:]

  /// - Parameter bytes: the JSON header, which begins at byte 8 of the file.
  init(path: String, bytes: [UInt8]) throws {
    var scanner = try JSONScanner(path: path, bytes: bytes, origin: 8)
    var names = Set<String>()
    try scanner.object { name, scanner in
      guard names.insert(name).inserted else { throw scanner.twice("tensor \(name)") }
      if name == "__metadata__" {
        metadata = try Self.metadata(&scanner)
      } else {
        entries.append(try Self.entry(name, &scanner))
      }
    }
    try scanner.end()
  }

  private static func entry(_ name: String, _ scanner: inout JSONScanner) throws -> Entry {
    let fields = try fields("tensor \(name)", &scanner)
    func integers(_ key: String) -> [Int]? {
      guard let values = fields?[key]?.array else { return nil }
      let integers = values.compactMap(\.int)
      return integers.count == values.count ? integers : nil
    }
    guard let dtype = fields?["dtype"]?.string, let shape = integers("shape"),
      let offsets = integers("data_offsets"), offsets.count == 2
    else {
      throw FormatError(
        path: scanner.path, subject: "tensor \(name)", "lacks dtype, shape or data_offsets of the right kind")
    }
    return Entry(name: name, dtype: dtype, shape: shape, offsets: offsets)
  }

  private static func metadata(_ scanner: inout JSONScanner) throws -> [String: String] {
    let fields = try fields("key __metadata__", &scanner)
    guard let fields, fields.values.allSatisfy({ $0.string != nil }) else {
      throw FormatError(path: scanner.path, subject: "key __metadata__", "is not a map of strings")
    }
    return fields.compactMapValues(\.string)
  }

  /// The fields of an object; nil if the value is not an object.
  private static func fields(_ subject: String, _ scanner: inout JSONScanner) throws -> [String: JSONValue]? {
    guard scanner.peek() == UInt8(ascii: "{") else {
      try scanner.skip()
      return nil
    }
    var fields: [String: JSONValue] = [:]
    try scanner.object { key, scanner in
      let value = try scanner.value()
      guard fields.updateValue(value, forKey: key) == nil else { throw scanner.twice("\(subject): key \(key)") }
    }
    return fields
  }
}

extension JSONScanner {
  fileprivate func twice(_ subject: String) -> FormatError {
    FormatError(
      path: path, subject: subject, "occurs twice in the header, which the format forbids",
      hint: "the file is damaged or forged: download it again")
  }
}
