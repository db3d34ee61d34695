import Files

/// SHA-256 of the data of every tensor of a model, in a file beside it: `<model>.gguf.sha256`.
///
/// Each line has 64 hexadecimal digits, two blanks and a tensor's name, in the model's order. The sums cover only the
/// data, so they stay valid when metadata is edited or the model is split or merged.
public struct TensorChecksums: Sendable, Equatable {
  /// The suffix of the file, after the model's path.
  public static let suffix = ".sha256"

  /// Hexadecimal SHA-256 by tensor name.
  package private(set) var sums: [String: String]
  private var order: [String]

  /// No checksums.
  public init() { (sums, order) = ([:], []) }

  /// The hexadecimal SHA-256 of a tensor's data.
  public subscript(tensor: String) -> String? { sums[tensor] }
  /// The number of tensors.
  public var count: Int { order.count }

  /// Sets the hexadecimal SHA-256 of a tensor's data.
  public mutating func add(_ hex: String, for tensor: String) {
    if sums.updateValue(hex, forKey: tensor) == nil { order.append(tensor) }
  }

  /// Reads a file of checksums. As in files of `sha256sum`, the second blank may be an asterisk.
  ///
  /// - Throws: `FormatError` with the number of a malformed line, `TextError`, `FileError`.
  public init(path: String) throws {
    self.init()
    let file = try PositionedFile(path: path)
    let bytes = try file.bytes(in: 0..<file.size)
    let text = TextFile.foldingLineEnds(try TextFile.content(of: bytes, path: path))
    for (index, line) in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
      if line.isEmpty { continue }
      let hex = line.prefix(64)
      let separator = line.dropFirst(64).prefix(2)
      guard line.count > 66, hex.allSatisfy(\.isHexDigit),
        separator.elementsEqual("  ".utf8) || separator.elementsEqual(" *".utf8),
        case let name = String(stored: line.dropFirst(66)), sums[name] == nil
      else {
        throw FormatError(path: path, subject: "line \(index + 1)", "is not a checksum, or repeats a tensor")
      }
      add(String(decoding: hex, as: UTF8.self).lowercased(), for: name)
    }
    guard count > 0 else { throw FormatError(path: path, "has no checksums") }
  }

  /// Writes the file of checksums.
  ///
  /// - Throws: `FileError`.
  public func write(to path: String, overwrite: Bool) throws {
    let output = try OutputFile(path: path, overwrite: overwrite)
    try output.write(order.map { "\(sums[$0]!)  \($0)\n" }.joined().storedBytes)
    try output.commit()
  }
}

extension UInt8 {
  fileprivate var isHexDigit: Bool {
    (48...57).contains(self) || (97...102).contains(self) || (65...70).contains(self)
  }
}

extension GGUFShards {
  /// SHA-256 of the headers, in hexadecimal. It covers all metadata and every tensor's name, shape and type.
  public var digest: String {
    var digest = DataDigest()
    for layout in layouts { digest.update(layout.header.span.bytes) }
    return digest.hex()
  }
}
