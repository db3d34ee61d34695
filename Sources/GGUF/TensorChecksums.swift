import Files

/// SHA-256 of the data of every tensor of a model, as a file beside it: `<model>.gguf.sha256`.
///
/// A line a tensor, in the model's order: 64 hexadecimal digits, two blanks, the tensor's name. The sums cover the data
/// alone, so that they stay true when metadata is edited or the model is split or merged.
public struct TensorChecksums: Sendable, Equatable {
  public static let suffix = ".sha256"

  /// By tensor name.
  public private(set) var sums: [String: String]
  private var order: [String]

  public init() { (sums, order) = ([:], []) }

  public subscript(tensor: String) -> String? { sums[tensor] }
  public var count: Int { order.count }

  public mutating func add(_ hex: String, for tensor: String) {
    if sums.updateValue(hex, forKey: tensor) == nil { order.append(tensor) }
  }

  /// Reads a file of sums, which `sha256sum` or a Windows editor may have written too: an asterisk may be in the place of
  /// the second blank.
  ///
  /// - Throws: `FormatError` naming the line that is none, `TextError`, `FileError`.
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
        throw FormatError(path: path, subject: "line \(index + 1)", "is no checksum of a tensor of its own")
      }
      add(String(decoding: hex, as: UTF8.self).lowercased(), for: name)
    }
    guard count > 0 else { throw FormatError(path: path, "has no checksums") }
  }

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
  /// SHA-256 of the headers: all metadata, and the name, shape and type of every tensor.
  public var digest: String {
    var digest = DataDigest()
    for layout in layouts { digest.update(layout.header.span.bytes) }
    return digest.hex()
  }
}
