import Files
import GGUF
import Tokenizers

/// Tokens by id, each with its type and, for SentencePiece, its score. Ids without a token are padding.
struct TokenList {
  private(set) var tokens: [String?]
  private(set) var types: [TokenType]
  private(set) var scores: [Float]

  init(count: Int, paddingScore: Float = 0) {
    tokens = [String?](repeating: nil, count: count)
    types = [TokenType](repeating: .unused, count: count)
    scores = [Float](repeating: paddingScore, count: count)
  }

  var count: Int { tokens.count }

  /// Sets the token of an id, which must be below ``count``.
  mutating func set(_ id: Int, _ token: String, _ type: TokenType, score: Float = 0) {
    tokens[id] = token
    types[id] = type
    scores[id] = score
  }

  func texts() -> [String] { tokens.enumerated().map { $1 ?? "[PAD\($0)]" } }

  /// - Throws: `FormatError` if two ids have the same text: llama.cpp can't load such a model.
  func check(path: String) throws {
    var table = ByteTable(minimumCapacity: count)
    for (id, text) in texts().enumerated() {
      if let other = table.insert(Array(text.utf8), value: Int32(id)) {
        throw FormatError(
          path: path, subject: "token \(text.debugDescription)", "appears twice, with ids \(other) and \(id)")
      }
    }
  }

  var typeValue: MetadataValue { .array(.int32(types.map(\.rawValue))) }

  /// Whether an added token looks like a control token although it is not marked as special.
  static func looksSpecial(_ token: String) -> Bool {
    func encloses(_ first: String, _ last: String) -> Bool { token.hasPrefix(first) && token.hasSuffix(last) }
    return ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(token) || encloses("<|", "|>")
      || encloses("<\u{FF5C}", "\u{FF5C}>") || encloses("<unused", ">")
  }
}
