import Files
import Tokenizers

/// tokenizer.model: SentencePiece's `ModelProto`, a Protocol Buffers message.
///
///     ModelProto     { repeated SentencePiece pieces = 1; TrainerSpec trainer_spec = 2; NormalizerSpec normalizer_spec = 3 }
///     SentencePiece  { string piece = 1; float score = 2; Type type = 3 }
///     TrainerSpec    { ModelType model_type = 3 [default = 1: unigram]; bool treat_whitespace_as_suffix = 24;
///                      bool byte_fallback = 35 }
///     NormalizerSpec { string name = 1; bytes precompiled_charsmap = 2; bool add_dummy_prefix = 3 [default = true];
///                      bool remove_extra_whitespaces = 4 [default = true]; bool escape_whitespaces = 5 [default = true] }
///
/// The fields are read by hand, with checked bounds: building SwiftProtobuf takes longer than building qtool.
struct SentencePieceModel {
  enum PieceType: UInt64 {
    case normal = 1, unknown, control, userDefined, unused, byte
  }

  struct Piece {
    var text = ""
    var score: Float = 0
    var type = PieceType.normal
  }

  let path: String
  private(set) var pieces: [Piece] = []
  private var kind: UInt64 = 1
  /// Whether a blank is added to text.
  private(set) var addsBlank = true
  /// Whether that blank is added at the end instead of the start.
  private(set) var isSuffix = false
  private(set) var fallsBackToBytes = false
  /// The name of the normalization rule; nil if text is not changed.
  private(set) var normalizer: String?
  private(set) var removesBlanks = true
  private(set) var escapesBlanks = true

  init(path: String, bytes: [UInt8]) throws {
    self.path = path
    var message = WireReader(path: path, bytes: bytes)
    while let field = try message.next() {
      switch (field.number, field.value) {
      case (1, .bytes(let range)): pieces.append(try Self.piece(message.nested(range), number: pieces.count))
      case (2, .bytes(let range)): try readTrainer(message.nested(range))
      case (3, .bytes(let range)): try readNormalizer(message.nested(range))
      case (1...3, _): throw message.failure("field \(field.number) is not a message")
      default: break
      }
    }
    guard !pieces.isEmpty else { throw FormatError(path: path, "is a SentencePiece model without pieces") }
    // Other kinds do not merge by score, and would be encoded wrongly without a warning.
    guard kind == 2 else {
      let names: [UInt64: String] = [1: "unigram", 3: "word", 4: "char"]
      throw FormatError(
        path: path, subject: "key trainer_spec.model_type", "is of an unknown kind: \(names[kind] ?? "\(kind)")",
        hint: "known: SentencePiece's bpe")
    }
  }

  private mutating func readTrainer(_ specification: WireReader) throws {
    var reader = specification
    while let field = try reader.next() {
      switch (field.number, field.value) {
      case (3, .varint(let value)): kind = value
      case (24, .varint(let value)): isSuffix = value != 0
      case (35, .varint(let value)): fallsBackToBytes = value != 0
      default: break
      }
    }
  }

  private mutating func readNormalizer(_ specification: WireReader) throws {
    var reader = specification
    var name = "unnamed"
    var changesText = false
    while let field = try reader.next() {
      switch (field.number, field.value) {
      case (1, .bytes(let range)): name = String(decoding: reader.bytes[range], as: UTF8.self)
      // A name without a character map has no effect.
      case (2, .bytes(let range)): changesText = !range.isEmpty
      case (3, .varint(let value)): addsBlank = value != 0
      case (4, .varint(let value)): removesBlanks = value != 0
      case (5, .varint(let value)): escapesBlanks = value != 0
      default: break
      }
    }
    if changesText { normalizer = name }
  }

  private static func piece(_ reader: WireReader, number: Int) throws -> Piece {
    var reader = reader
    var piece = Piece()
    while let field = try reader.next() {
      switch (field.number, field.value) {
      case (1, .bytes(let range)):
        guard let text = String(validating: reader.bytes[range], as: UTF8.self) else {
          throw reader.failure("is not UTF-8", subject: "piece number \(number)")
        }
        piece.text = text
      case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
      case (3, .varint(let value)):
        guard let type = PieceType(rawValue: value) else {
          throw reader.failure("has the unknown type \(value)", subject: "piece number \(number)")
        }
        piece.type = type
      case (1...3, _): throw reader.failure("holds a field of the wrong kind", subject: "piece number \(number)")
      default: break
      }
    }
    guard !piece.text.isEmpty, piece.score.isFinite else {
      throw reader.failure("is empty or lacks a finite score", subject: "piece number \(number)")
    }
    return piece
  }
}
