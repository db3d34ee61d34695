/// The fields of a Protocol Buffers message: a tag (number and kind), then a varint, 4 or 8 bytes, or a length and bytes.
struct WireReader {
  enum Value {
    case varint(UInt64)
    case fixed64
    case fixed32(UInt32)
    case bytes(Range<Int>)
  }

  let path: String
  let bytes: [UInt8]
  private var offset: Int
  private let end: Int

  init(path: String, bytes: [UInt8], range: Range<Int>? = nil) {
    self.path = path
    self.bytes = bytes
    offset = range?.lowerBound ?? 0
    end = range?.upperBound ?? bytes.count
  }

  func nested(_ range: Range<Int>) -> WireReader { WireReader(path: path, bytes: bytes, range: range) }

  func failure(_ reason: String, subject: String? = nil) -> CheckpointError {
    CheckpointError(path: path, subject: subject, offset: offset, reason)
  }

  private func damaged() -> CheckpointError { failure("is no SentencePiece model, or a damaged one") }

  /// The next field; nil at the end of the message.
  mutating func next() throws -> (number: Int, value: Value)? {
    guard offset < end else { return nil }
    let tag = try varint()
    guard tag >> 3 > 0, tag >> 3 <= UInt64(1) << 29 else { throw damaged() }
    let number = Int(tag >> 3)
    switch tag & 7 {
    case 0: return (number, .varint(try varint()))
    case 1:
      _ = try take(8)
      return (number, .fixed64)
    case 2: return (number, .bytes(try take(try varint())))
    case 5:
      let range = try take(4)
      return (number, .fixed32(bytes[range].reversed().reduce(0) { $0 << 8 | UInt32($1) }))
    default: throw damaged()
    }
  }

  private mutating func varint() throws -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard offset < end else { break }
      let byte = bytes[offset]
      offset += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    throw damaged()
  }

  private mutating func take(_ count: UInt64) throws -> Range<Int> {
    guard count <= UInt64(end - offset) else { throw damaged() }
    defer { offset += Int(count) }
    return offset..<offset + Int(count)
  }
}
