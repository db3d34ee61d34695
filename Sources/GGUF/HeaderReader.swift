import Files

/// Reads a header's values in order from a window of bytes that is refilled as it goes, so that a tokenizer of many
/// megabytes needs no second copy and a truncated file is noticed where it ends.
struct HeaderReader {
  let path: String
  /// Bytes that the file has in all: no count in it may promise more.
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

  /// What is left of the file.
  var remaining: Int { limit - offset }

  func failure(_ subject: String?, _ reason: String, hint: String? = nil, at place: Int? = nil) -> FormatError {
    FormatError(path: path, subject: subject, offset: place ?? offset, reason, hint: hint)
  }

  mutating func bytes(_ count: Int, of subject: String?) throws -> ArraySlice<UInt8> {
    guard count >= 0, count <= remaining else {
      throw failure(subject, "needs \(count) bytes and \(remaining) are left", hint: "the file is truncated or damaged")
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

  /// A count that the rest of the file can hold if each element takes `width` bytes at least.
  mutating func count(elementWidth width: Int, of subject: String?) throws -> Int {
    let place = offset
    let raw = try integer(UInt64.self, of: subject)
    guard raw <= UInt64(remaining / max(1, width)) else {
      throw failure(
        subject, "counts \(raw) elements, more than the file can hold", hint: "the file is truncated or damaged",
        at: place)
    }
    return Int(raw)
  }

  mutating func string(of subject: String?) throws -> String {
    let length = try count(elementWidth: 1, of: subject)
    return String(stored: try bytes(length, of: subject))
  }
}
