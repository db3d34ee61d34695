import GGUF
import Tokenizers

/// The keys of a SentencePiece tokenizer: tokens, scores and types, from tokenizer.model or from a tokenizer.json that
/// was made of one.
struct SentencePieceVocabulary {
  let metadata: Metadata
  let tokenCount: Int
  /// false where the model itself says that no blank goes in front of text.
  let addsBlank: Bool
  let notes: [String]

  /// From tokenizer.model and the files beside it that add tokens. Ids beyond the vocabulary are left out: many
  /// fine-tunes name a padding token that their embedding has no row for.
  init(_ model: SentencePieceModel, files: TokenizerFiles, vocabularySize: Int?) throws {
    var list = TokenList(count: vocabularySize ?? model.pieces.count, paddingScore: -10000)
    for (id, piece) in model.pieces.enumerated() where id < list.count {
      list.set(id, piece.text, piece.type, score: piece.score)
    }
    var beyond: [Int: String] = [:]
    for (content, id) in try files.addedTokens() {
      guard id < list.count else {
        beyond[id] = content
        continue
      }
      list.set(id, content, .userDefined, score: -1000)
    }
    for added in try files.addedTokensDecoder() {
      guard added.id < list.count else {
        beyond[added.id] = added.content
        continue
      }
      let (text, type) = TokenList.added(added.content, isSpecial: added.isSpecial)
      list.set(added.id, text, type, score: -1000)
    }
    try list.check(path: model.path)
    metadata = Self.metadata(list)
    tokenCount = list.count
    addsBlank = model.addsBlank
    let count = list.count
    notes = beyond.sorted { $0.key < $1.key }.map { id, content in
      "\(files.directory): token \(content.debugDescription) is left out: its id \(id) is beyond the vocabulary of \(count)"
    }
  }

  /// From a tokenizer.json. It has no scores but merges in the order of the scores, and a token is made when its turn
  /// comes: the n-th token that a merge makes gets -n.
  init(_ tokenizer: TokenizerJSON, vocabularySize: Int?) throws {
    let path = tokenizer.path
    let largest = max(tokenizer.vocabulary.map(\.id).max() ?? 0, tokenizer.added.map(\.id).max() ?? 0)
    let count = vocabularySize ?? largest + 1
    guard count <= 1 << 24 else { throw CheckpointError(path: path, "gives a token the id \(largest)") }
    var ids = ByteTable(minimumCapacity: tokenizer.vocabulary.count)
    for (token, id) in tokenizer.vocabulary {
      if let other = ids.insert(Array(token.utf8), value: Int32(id)) {
        throw CheckpointError(
          path: path, subject: "token \(token.debugDescription)", "stands twice: it has ids \(other) and \(id)")
      }
    }
    var scores: [Int: Float] = [:]
    for (index, merge) in tokenizer.merges.enumerated() {
      let (left, right) = (Array(merge.left.utf8), Array(merge.right.utf8))
      for part in [left, right, left + right] where ids.value(of: part) == nil {
        throw CheckpointError(
          path: path, subject: "merge number \(index)",
          "needs \(String(decoding: part, as: UTF8.self).debugDescription), which is no token")
      }
      let id = Int(ids.value(of: left + right) ?? 0)
      if scores[id] == nil { scores[id] = -Float(scores.count) }
    }
    var list = TokenList(count: count, paddingScore: -10000)
    func place(_ token: String, _ id: Int, _ type: TokenType, score: Float) throws {
      guard id < count else {
        throw CheckpointError(
          path: path, subject: "token \(token.debugDescription)",
          "has id \(id); config.json gives a vocabulary of \(count)")
      }
      if let other = list.tokens[id], !other.utf8.elementsEqual(token.utf8) {
        throw CheckpointError(
          path: path, subject: "token \(token.debugDescription)", "has id \(id), as has \(other.debugDescription)")
      }
      list.set(id, token, type, score: score)
    }
    for (token, id) in tokenizer.vocabulary {
      // What no merge makes is a single character or a byte: its score decides nothing.
      try place(token, id, Self.isByte(token) ? .byte : .normal, score: scores[id] ?? -1000)
    }
    for added in tokenizer.added {
      let isNew = ids.value(of: Array(added.content.utf8)) == nil
      let type: TokenType = added.isSpecial ? .control : isNew ? .userDefined : .normal
      try place(added.content, added.id, type, score: isNew || added.isSpecial ? -1000 : scores[added.id] ?? -1000)
    }
    try list.check(path: path)
    metadata = Self.metadata(list)
    tokenCount = count
    addsBlank = Self.addsBlank(tokenizer)
    notes = []
  }

  private static func metadata(_ list: TokenList) -> Metadata {
    [
      "tokenizer.ggml.model": .string("llama"),
      "tokenizer.ggml.pre": .string("default"),
      "tokenizer.ggml.tokens": .array(.string(list.texts())),
      "tokenizer.ggml.scores": .array(.float32(list.scores)),
      "tokenizer.ggml.token_type": list.typeValue,
    ]
  }

  /// `<0x0A>`
  private static func isByte(_ token: String) -> Bool {
    let bytes = Array(token.utf8)
    func isDigit(_ byte: UInt8) -> Bool { Unicode.Scalar(byte).properties.isASCIIHexDigit }
    return bytes.count == 6 && bytes.starts(with: "<0x".utf8) && isDigit(bytes[3]) && isDigit(bytes[4])
      && bytes[5] == UInt8(ascii: ">")
  }

  private static func addsBlank(_ tokenizer: TokenizerJSON) -> Bool {
    func parts(_ value: JSONValue?, _ key: String) -> [JSONValue] { value?[key]?.array ?? value.map { [$0] } ?? [] }
    if parts(tokenizer.normalizer, "normalizers").contains(where: { $0["type"]?.string == "Prepend" }) { return true }
    return parts(tokenizer.preTokenizer, "pretokenizers").contains { part in
      guard part["type"]?.string == "Metaspace" else { return false }
      return part["prepend_scheme"]?.string.map { $0 != "never" } ?? part["add_prefix_space"]?.bool ?? true
    }
  }
}
