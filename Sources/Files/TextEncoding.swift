/// The encoding of a text file, judged by its first bytes.
///
/// UTF-16 and UTF-32, which Windows programs write, are recognised by a byte order mark or by the positions of their
/// NUL bytes. Everything else counts as UTF-8.
enum TextEncoding: String, Sendable {
  case utf8 = "UTF-8"
  case utf16LittleEndian = "UTF-16LE"
  case utf16BigEndian = "UTF-16BE"
  case utf32LittleEndian = "UTF-32LE"
  case utf32BigEndian = "UTF-32BE"

  static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

  init(of bytes: some Collection<UInt8>) {
    let start = Array(bytes.prefix(1024))
    // The mark of UTF-32LE begins with that of UTF-16LE.
    let marks: [(bytes: [UInt8], encoding: TextEncoding)] = [
      ([0xFF, 0xFE, 0, 0], .utf32LittleEndian), ([0, 0, 0xFE, 0xFF], .utf32BigEndian),
      ([0xFF, 0xFE], .utf16LittleEndian),
      ([0xFE, 0xFF], .utf16BigEndian),
    ]
    self = marks.first { start.starts(with: $0.bytes) }?.encoding ?? Self.byNULs(of: start)
  }

  /// In Latin text every second byte is NUL in UTF-16, and three of four in UTF-32.
  private static func byNULs(of start: [UInt8]) -> TextEncoding {
    guard start.count >= 4 else { return .utf8 }
    var counts = [0, 0, 0, 0]
    for (index, byte) in start.enumerated() where byte == 0 { counts[index % 4] += 1 }
    let words = start.count / 4
    func isFull(_ lane: Int) -> Bool { counts[lane] * 4 >= words * 3 }
    func isEmpty(_ lane: Int) -> Bool { counts[lane] * 4 <= words }
    return switch (isFull(0), isFull(1), isFull(2), isFull(3)) {
    case (false, true, true, true): .utf32LittleEndian
    case (true, true, true, false): .utf32BigEndian
    case (false, true, false, true) where isEmpty(0) && isEmpty(2): .utf16LittleEndian
    case (true, false, true, false) where isEmpty(1) && isEmpty(3): .utf16BigEndian
    default: .utf8
    }
  }
}
