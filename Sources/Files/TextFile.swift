/// A UTF-8 text file from any operating system.
///
///     let text = try TextFile(path: "mix.yaml").text
///
/// By default a leading byte order mark is not part of ``text``, and CR LF and CR become LF. UTF-16 and UTF-32 are
/// refused.
public struct TextFile: Sendable, Equatable {
  /// The decoded text.
  public let text: String
  /// The number of byte sequences that are not UTF-8; each is one U+FFFD in ``text``.
  public let invalidSequences: Int
  /// Whether the file has line ends CR LF or CR.
  public let hadCarriageReturns: Bool

  /// The treatment of bytes that are not UTF-8: an error, or U+FFFD.
  public enum InvalidBytes: Sendable { case refused, replaced }

  /// The treatment of the byte order mark and of line ends.
  public enum Form: Sendable {
    /// Without a byte order mark, with LF as the only line end.
    case lines
    /// All bytes as they are.
    case exact
  }

  /// Reads a file of at most `limit` bytes.
  ///
  /// - Throws: ``TextError``, ``FileError``.
  public init(path: String, limit: Int = .max, form: Form = .lines, invalidBytes: InvalidBytes = .refused) throws {
    let file = try PositionedFile(path: path)
    guard file.size <= limit else {
      throw TextError(path: path, "has \(file.size) bytes, too many for this file")
    }
    try self.init(bytes: try file.bytes(in: 0..<file.size), path: path, form: form, invalidBytes: invalidBytes)
  }

  /// Decodes bytes.
  ///
  /// - Parameter path: the file's path in errors.
  public init(
    bytes: [UInt8], path: String, form: Form = .lines, invalidBytes: InvalidBytes = .refused
  ) throws(TextError) {
    let unmarked = try Self.content(of: bytes, path: path)
    let content = form == .exact ? bytes[...] : unmarked
    hadCarriageReturns = content.contains(Self.carriageReturn)
    let lines = form == .lines && hadCarriageReturns ? Self.foldingLineEnds(content)[...] : content
    if let valid = String(validating: lines, as: UTF8.self) {
      text = valid
      invalidSequences = 0
      return
    }
    let (first, count) = Self.invalidSequences(in: content)
    guard invalidBytes == .replaced else {
      throw TextError(
        path: path, offset: first, "is not UTF-8",
        hint: "convert it, from Western European Windows with: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW")
    }
    text = String(decoding: lines, as: UTF8.self)
    invalidSequences = count
  }

  /// The bytes of a text file after its byte order mark.
  ///
  /// - Throws: ``TextError`` where the file is UTF-16 or UTF-32.
  public static func content(of bytes: [UInt8], path: String) throws(TextError) -> ArraySlice<UInt8> {
    let encoding = TextEncoding(of: bytes)
    guard encoding == .utf8 else {
      throw TextError(
        path: path, "is \(encoding.rawValue), not UTF-8",
        hint: "convert it: iconv -f \(encoding.rawValue) -t UTF-8 FILE > NEW")
    }
    return bytes.starts(with: TextEncoding.byteOrderMark) ? bytes.dropFirst(3) : bytes[...]
  }

  private static let carriageReturn = UInt8(ascii: "\r")

  /// The bytes with CR LF and CR replaced by LF.
  public static func foldingLineEnds(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.underestimatedCount)
    var previous: UInt8 = 0
    for byte in bytes {
      if byte != UInt8(ascii: "\n") || previous != carriageReturn {
        result.append(byte == carriageReturn ? UInt8(ascii: "\n") : byte)
      }
      previous = byte
    }
    return result
  }

  /// The file offset of the first sequence that is not UTF-8, and the number of such sequences.
  private static func invalidSequences(in content: ArraySlice<UInt8>) -> (first: Int, count: Int) {
    var parser = Unicode.UTF8.ForwardParser()
    var iterator = content.makeIterator()
    var offset = content.startIndex
    var invalid: (first: Int, count: Int)?
    while true {
      switch parser.parseScalar(from: &iterator) {
      case .valid(let bytes): offset += bytes.count
      case .error(let length):
        invalid = (invalid?.first ?? offset, (invalid?.count ?? 0) + 1)
        offset += length
      case .emptyInput: return invalid ?? (offset, 0)
      }
    }
  }
}

/// A file that can't be read as text.
public struct TextError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The path of the file.
  public let path: String
  /// Byte offset, where the error has one.
  public let offset: Int?
  /// The fault, as a predicate of the file: `is not UTF-8`.
  public let reason: String
  /// Advice for the person who named the file.
  public let hint: String?

  init(path: String, offset: Int? = nil, _ reason: String, hint: String? = nil) {
    (self.path, self.offset, self.reason, self.hint) = (path, offset, reason, hint)
  }

  public var description: String { path + (offset.map { ": at byte \($0)" } ?? "") + ": " + reason }
}
