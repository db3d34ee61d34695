import Files
import Tokenizers

/// tokenizer.model: SentencePiece's `ModelProto`, a Protocol Buffers message.
///
///     ModelProto     { repeated SentencePiece pieces = 1; TrainerSpec trainer_spec = 2; NormalizerSpec normalizer_spec = 3 }
///     SentencePiece  { string piece = 1; float score = 2; Type type = 3 }
///     TrainerSpec    { ModelType model_type = 3 [default = 1: unigram] }
///     NormalizerSpec { bool add_dummy_prefix = 3 }
///
/// These few fields are read by hand, strictly and bounded: SwiftProtobuf takes longer to build than all of qtool.
struct SentencePieceModel {
  struct Piece {
    var text = ""
    var score: Float = 0
    var type = TokenType.normal
  }

  let path: String
  private(set) var pieces: [Piece] = []
  /// Whether a blank goes in front of text.
  private(set) var addsBlank = true

  init(path: String, bytes: [UInt8]) throws {
    self.path = path
    var message = WireReader(path: path, bytes: bytes)
    while let field = try message.next() {
      switch (field.number, field.value) {
      case (1, .bytes(let range)): pieces.append(try Self.piece(message.nested(range), number: pieces.count))
      case (2, .bytes(let range)): try Self.checkKind(message.nested(range))
      case (3, .bytes(let range)):
        var specification = message.nested(range)
        while let field = try specification.next() {
          if case (3, .varint(let value)) = (field.number, field.value) { addsBlank = value != 0 }
        }
      case (1...3, _): throw message.failure("field \(field.number) is no message")
      default: break
      }
    }
    guard !pieces.isEmpty else { throw CheckpointError(path: path, "is a SentencePiece model without pieces") }
  }

  /// Only byte-pair encoding merges by score; other kinds would be encoded wrongly without a word.
  private static func checkKind(_ specification: WireReader) throws {
    var reader = specification
    var kind: UInt64 = 1
    while let field = try reader.next() {
      if case (3, .varint(let value)) = (field.number, field.value) { kind = value }
    }
    guard kind == 2 else {
      let names: [UInt64: String] = [1: "unigram", 3: "word", 4: "char"]
      throw CheckpointError(
        path: reader.path, subject: "key trainer_spec.model_type", "is of an unknown kind: \(names[kind] ?? "\(kind)")",
        hint: "known: SentencePiece's bpe")
    }
  }

  private static func piece(_ reader: WireReader, number: Int) throws -> Piece {
    var reader = reader
    var piece = Piece()
    while let field = try reader.next() {
      switch (field.number, field.value) {
      case (1, .bytes(let range)):
        guard let text = String(validating: reader.bytes[range], as: UTF8.self) else {
          throw reader.failure("is no UTF-8", subject: "piece number \(number)")
        }
        piece.text = text
      case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
      case (3, .varint(let value)):
        // User-defined pieces count as normal ones, as converters have it.
        let types: [UInt64: TokenType] = [1: .normal, 2: .unknown, 3: .control, 4: .normal, 5: .unused, 6: .byte]
        guard let type = types[value] else {
          throw reader.failure("has the unknown type \(value)", subject: "piece number \(number)")
        }
        piece.type = type
      case (1...3, _): throw reader.failure("holds a field of the wrong kind", subject: "piece number \(number)")
      default: break
      }
    }
    guard !piece.text.isEmpty, piece.score.isFinite else {
      throw reader.failure("is empty or has no finite score", subject: "piece number \(number)")
    }
    return piece
  }
}

/// The fields of a Protocol Buffers message: a tag (number and kind), then a varint, 4 or 8 bytes, or a length and bytes.
private struct WireReader {
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

  func failure(_ reason: String, subject: String? = nil) -> CheckpointError {
    CheckpointError(path: path, subject: subject, offset: reader.offset, reason)
  }

  private func damaged() -> CheckpointError { failure("is no SentencePiece model, or a damaged one") }

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
