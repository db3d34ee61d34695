import Files
import GGUF
import Tokenizers

/// The GGUF keys of a SentencePiece tokenizer: tokens, scores and types, from tokenizer.model, from a tokenizer.json
/// converted from one, or from both. If both exist, tokenizer.json decides on ids, added tokens and blanks, as in
/// `transformers`, and tokenizer.model on scores and types of its pieces.
struct SentencePieceVocabulary {
  let metadata: Metadata
  let tokenCount: Int
  let added: AddedTokens
  private(set) var notes: [String] = []

  /// - Parameters:
  ///   - size: the size of the vocabulary in config.json; larger ids are left out.
  ///   - addsBlank: `add_prefix_space` of tokenizer_config.json.
  init(
    _ model: SentencePieceModel?, _ tokenizer: TokenizerJSON?, _ files: TokenizerFiles, size: Int?, addsBlank: Bool?
  ) throws {
    let pieces = model?.pieces ?? []
    let base: BaseVocabulary
    var prefix: BlankPrefix
    var scores: [Int: Float] = [:]
    if let tokenizer {
      base = try BaseVocabulary(path: tokenizer.path, tokenizer.vocabulary)
      if let model { notes += try model.compare(with: tokenizer, base) }
      prefix = try BlankPrefix(tokenizer, base)
      if model == nil { scores = try Self.scores(tokenizer, base) }
    } else {
      let entries = pieces.enumerated().map { (token: $1.text, id: $0) }
      base = try BaseVocabulary(path: model?.path ?? files.directory, entries)
      prefix = try model.map { try BlankPrefix($0, legacy: files.config?["legacy"]?.bool) } ?? .always
    }
    if let addsBlank { prefix = !addsBlank ? .never : prefix == .never ? .always : prefix }
    var added = try AddedTokens(to: base, listed: tokenizer?.added ?? [], files) { id in
      tokenizer == nil && pieces[id].type != .normal && pieces[id].type != .byte
    }
    let count = try added.limit(to: size)
    if tokenizer == nil { try model?.checkPieces(prefix, besides: Set(added.tokens.map(\.id))) }
    var list = TokenList(count: count, paddingScore: -10000)
    for (id, token) in base.tokens.enumerated() {
      guard let token else { continue }
      guard id < count else {
        guard model != nil else {
          throw FormatError(
            path: base.path, subject: "token \(token.debugDescription)",
            "has id \(id); config.json gives a vocabulary of \(count)")
        }
        notes.append("\(base.path): tokens from id \(id) on are left out: config.json gives a vocabulary of \(count)")
        break
      }
      if id < pieces.count {
        let type = pieces[id].tokenType(prefix, isAlone: tokenizer == nil)
        list.set(id, type == .userDefined ? Self.unescaped(token) : token, type, score: pieces[id].score)
      } else {
        // A token that no merge produces is a single character or a byte; its score has no effect.
        list.set(id, token, Self.isByte(token) ? .byte : .normal, score: scores[id] ?? -1000)
      }
    }
    let normalizes = tokenizer?.normalizer != nil
    for token in added.tokens {
      let isFinal = list.types[token.id] == .control || list.types[token.id] == .unknown
      if !token.isListed, isFinal { continue }
      if token.isSpecial || TokenList.looksSpecial(token.content) {
        list.set(token.id, token.content, .control, score: -1000)
      } else if base.id(of: token.content) == nil
        || list.types[token.id] != .byte && (normalizes && token.isNormalized || !token.content.contains("\u{2581}"))
      {
        list.set(token.id, Self.unescaped(token.content), .userDefined, score: -1000)
      }
    }
    try list.check(path: base.path)
    try Self.checkBytes(list, path: base.path)
    metadata = Self.metadata(list, prefix)
    tokenCount = count
    notes += added.notes + Self.notes(added.tokens, prefix, tokenizer)
    self.added = added
  }

  /// Scores from merges: tokenizer.json lists merges in the order of scores, so the n-th token that a merge produces
  /// gets -n.
  private static func scores(_ tokenizer: TokenizerJSON, _ base: BaseVocabulary) throws -> [Int: Float] {
    var scores: [Int: Float] = [:]
    for (index, merge) in tokenizer.merges.enumerated() {
      for part in [merge.left, merge.right, merge.left + merge.right] where base.id(of: part) == nil {
        throw FormatError(
          path: base.path, subject: "merge number \(index)", "needs \(part.debugDescription), which is not a token")
      }
      let id = base.id(of: merge.left + merge.right) ?? 0
      if scores[id] == nil { scores[id] = -Float(scores.count) }
    }
    return scores
  }

  private static func metadata(_ list: TokenList, _ prefix: BlankPrefix) -> Metadata {
    var metadata: Metadata = [
      "tokenizer.ggml.model": .string("llama"),
      "tokenizer.ggml.pre": .string("default"),
      "tokenizer.ggml.tokens": .array(.string(list.texts())),
      "tokenizer.ggml.scores": .array(.float32(list.scores)),
      "tokenizer.ggml.token_type": list.typeValue,
    ]
    switch prefix {
    case .never: metadata["tokenizer.ggml.add_space_prefix"] = .bool(false)
    case .first: metadata[Tokenizer.prefixesOnceKey] = .bool(true)
    case .always: break
    }
    return metadata
  }

  /// Notes on differences between llama.cpp and the tokenizer that the files describe.
  private static func notes(
    _ added: [AddedToken], _ prefix: BlankPrefix, _ tokenizer: TokenizerJSON?
  ) -> [String] {
    var notes: [String] = []
    if prefix == .first, let path = tokenizer?.path {
      notes.append("\(path): a blank is added in front of a text; llama.cpp also adds one after each special token")
    }
    let normalizers = tokenizer.map { SplitStructure($0).normalizers } ?? []
    if normalizers.contains(where: { $0["type"]?.string == "Prepend" }),
      let token = added.first(where: { $0.isNormalized && !$0.isSpecial })
    {
      notes.append(
        "\(tokenizer?.path ?? ""): `transformers` finds token \(token.content.debugDescription) and others that are "
          + "normalized only behind a blank; here and in llama.cpp they are found anywhere")
    }
    return notes
  }

  /// Replaces U+2581 by the blank that it represents.
  private static func unescaped(_ token: String) -> String { token.replacing("\u{2581}", with: " ") }

  /// Whether a token is of the form `<0x0A>`.
  static func isByte(_ token: String) -> Bool {
    let bytes = Array(token.utf8)
    func isDigit(_ byte: UInt8) -> Bool { Unicode.Scalar(byte).properties.isASCIIHexDigit }
    return bytes.count == 6 && bytes.starts(with: "<0x".utf8) && isDigit(bytes[3]) && isDigit(bytes[4])
      && bytes[5] == UInt8(ascii: ">")
  }

  /// Checks that every byte has a token: llama.cpp encodes unknown characters as bytes, and aborts if a byte is
  /// missing.
  static func checkBytes(_ list: TokenList, path: String) throws {
    let tokens = Set(list.tokens.compactMap { $0.map { Array($0.utf8) } }.filter { $0.count == 1 || $0.count == 6 })
    for byte in 0..<256 where !tokens.contains([UInt8(byte)]) {
      let name = "<0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true) + ">"
      guard tokens.contains(Array(name.utf8)) else {
        throw FormatError(path: path, subject: "token \(name)", "is missing; llama.cpp aborts at text that needs it")
      }
    }
  }
}
