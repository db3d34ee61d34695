import Files

/// The fields of a Protocol Buffers message: a tag (number and kind), then a varint, 4 or 8 bytes, or a length and bytes.
struct WireReader {
  enum Value {
    case varint(UInt64)
    case fixed64
    case fixed32(UInt32)
    case bytes(Range<Int>)
  }

  let path: String
  private var reader: ByteReader

  init(path: String, bytes: [UInt8]) { self.init(path: path, ByteReader(bytes)) }

  private init(path: String, _ reader: ByteReader) { (self.path, self.reader) = (path, reader) }

  var bytes: [UInt8] { reader.bytes }

  func nested(_ range: Range<Int>) -> WireReader { WireReader(path: path, ByteReader(bytes, in: range)) }

  func failure(_ reason: String, subject: String? = nil) -> FormatError {
    FormatError(path: path, subject: subject, offset: reader.offset, reason)
  }

  private func damaged() -> FormatError { failure("is not a SentencePiece model, or is damaged") }

  /// The next field; nil at the end of the message.
  mutating func next() throws -> (number: Int, value: Value)? {
    guard reader.remaining > 0 else { return nil }
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
      guard let value = reader.integer(UInt32.self) else { throw damaged() }
      return (number, .fixed32(value))
    default: throw damaged()
    }
  }

  private mutating func varint() throws -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard let byte = reader.integer(UInt8.self) else { break }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    throw damaged()
  }

  private mutating func take(_ count: UInt64) throws -> Range<Int> {
    guard let slice = reader.take(Int(clamping: count)) else { throw damaged() }
    return slice.startIndex..<slice.endIndex
  }
}
