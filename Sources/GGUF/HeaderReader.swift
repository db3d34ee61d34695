import Files

/// Reads a header's values in order from a window of bytes that it refills, so that a tokenizer of many megabytes is
/// not in memory twice.
struct HeaderReader {
  let path: String
  /// Bytes of the file, the bound of every count in it.
  let limit: Int
  private let fetch: (Range<Int>) throws -> [UInt8]
  private var window: [UInt8] = []
  private var windowStart = 0
  private(set) var offset = 0
  private static let windowSize = 1 << 20

  init(path: String, limit: Int, fetch: @escaping (Range<Int>) throws -> [UInt8]) {
    self.path = path
    self.limit = limit
    self.fetch = fetch
  }

  var remaining: Int { limit - offset }

  func failure(_ subject: String?, _ reason: String, hint: String? = nil, at start: Int? = nil) -> FormatError {
    FormatError(path: path, subject: subject, offset: start ?? offset, reason, hint: hint)
  }

  mutating func bytes(_ count: Int, of subject: String?) throws -> ArraySlice<UInt8> {
    guard count >= 0, count <= remaining else {
      throw failure(subject, "needs \(count) bytes, but \(remaining) remain", hint: "the file is truncated or damaged")
    }
    if offset < windowStart || offset + count > windowStart + window.count {
      window = try fetch(offset..<min(limit, offset + max(count, Self.windowSize)))
      windowStart = offset
    }
    let start = offset - windowStart
    offset += count
    return window[start..<start + count]
  }

  mutating func integer<T: FixedWidthInteger>(_: T.Type, of subject: String?) throws -> T {
    T(littleEndian: try bytes(MemoryLayout<T>.size, of: subject))
  }

  /// A count of elements of at least `width` bytes each, checked against the remaining bytes of the file.
  mutating func count(elementWidth width: Int, of subject: String?) throws -> Int {
    let start = offset
    let raw = try integer(UInt64.self, of: subject)
    guard raw <= UInt64(remaining / max(1, width)) else {
      throw failure(
        subject, "has \(raw) elements, more than the file can hold", hint: "the file is truncated or damaged",
        at: start)
    }
    return Int(raw)
  }

  mutating func string(of subject: String?) throws -> String {
    let length = try count(elementWidth: 1, of: subject)
    return String(stored: try bytes(length, of: subject))
  }
}
