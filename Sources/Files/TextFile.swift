/// Text that people and editors write: UTF-8, whatever the system it was written on.
///
///     let text = try TextFile(path: "mix.yaml").text
///
/// A byte order mark in front is not part of the text, and line ends are LF in ``text`` where the file has CR LF or CR,
/// unless the text is wanted exactly. UTF-16 and UTF-32 are refused: read as UTF-8 they would be other words.
public struct TextFile: Sendable, Equatable {
  public let text: String
  /// Sequences of bytes that are not UTF-8, each of which is one U+FFFD in ``text``.
  public let invalidSequences: Int
  /// Whether lines ended in CR LF or CR.
  public let hadCarriageReturns: Bool

  /// What becomes of bytes that are not UTF-8.
  public enum InvalidBytes: Sendable { case refused, replaced }

  /// Which bytes are the text.
  public enum Form: Sendable {
    /// Those of its lines: no byte order mark, and LF between them.
    case lines
    /// All.
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

  /// - Parameter path: for messages.
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

  /// The bytes of a text file without its byte order mark, whatever they mean.
  ///
  /// - Throws: ``TextError`` where they are UTF-16 or UTF-32.
  public static func content(of bytes: [UInt8], path: String) throws(TextError) -> ArraySlice<UInt8> {
    let encoding = TextEncoding(of: bytes)
    guard encoding == .utf8 else {
      throw TextError(
        path: path, "is \(encoding.rawValue), and UTF-8 is wanted",
        hint: "convert it: iconv -f \(encoding.rawValue) -t UTF-8 FILE > NEW")
    }
    return bytes.starts(with: TextEncoding.byteOrderMark) ? bytes.dropFirst(3) : bytes[...]
  }

  private static let carriageReturn = UInt8(ascii: "\r")

  /// CR LF and CR as LF.
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

  /// The offset in the file of the first sequence that is not UTF-8, and how many there are.
  private static func invalidSequences(in content: ArraySlice<UInt8>) -> (first: Int, count: Int) {
    var parser = Unicode.UTF8.ForwardParser()
    var iterator = content.makeIterator()
    var offset = content.startIndex
    var found: (first: Int, count: Int)?
    while true {
      switch parser.parseScalar(from: &iterator) {
      case .valid(let bytes): offset += bytes.count
      case .error(let length):
        found = (found?.first ?? offset, (found?.count ?? 0) + 1)
        offset += length
      case .emptyInput: return found ?? (offset, 0)
      }
    }
  }
}

/// Why a file can't be read as text.
public struct TextError: Error, Equatable, Sendable, CustomStringConvertible {
  public let path: String
  public let offset: Int?
  public let reason: String
  public let hint: String?

  public init(path: String, offset: Int? = nil, _ reason: String, hint: String? = nil) {
    (self.path, self.offset, self.reason, self.hint) = (path, offset, reason, hint)
  }

  public var description: String { path + (offset.map { ": at byte \($0)" } ?? "") + ": " + reason }
}
