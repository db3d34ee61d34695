import Files
import GGUF
import Tokenizers

/// The GGUF keys of Gemma 4's tokenizer.json: byte-pair encoding of characters, with blanks as U+2581 and bytes for
/// characters without a token.
struct CharacterPairVocabulary {
  let metadata: Metadata
  let added: AddedTokens

  /// Tokens of a chat that llama.cpp keeps in its output, for the parser of the chat.
  private static let visible: Set<String> = [
    "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", "<|\"|>",
  ]

  /// - Parameter size: the size of the vocabulary in config.json.
  init(_ tokenizer: TokenizerJSON, _ files: TokenizerFiles, size: Int?) throws {
    let base = try BaseVocabulary(path: tokenizer.path, tokenizer.vocabulary)
    guard try BlankPrefix(tokenizer, base) == .never else {
      throw FormatError(
        path: tokenizer.path, subject: "key normalizer",
        "puts a blank in front of text, which llama.cpp's tokenizer gemma4 does not")
    }
    var added = try AddedTokens(to: base, listed: tokenizer.added, files)
    let count = try added.limit(to: size)
    var list = TokenList(count: count, paddingScore: -1000)
    for (id, token) in base.tokens.enumerated() {
      guard let token else { continue }
      guard id < count else {
        throw FormatError(
          path: base.path, subject: "token \(token.debugDescription)",
          "has id \(id); config.json gives a vocabulary of \(count)")
      }
      list.set(id, token, SentencePieceVocabulary.isByte(token) ? .byte : .normal, score: -1000)
    }
    for token in added.tokens {
      if Self.visible.contains(token.content) {
        list.set(token.id, token.content, .userDefined, score: -1000)
      } else if token.isSpecial {
        list.set(token.id, token.content, .control, score: -1000)
      } else if base.id(of: token.content) == nil {
        list.set(token.id, token.content, .userDefined, score: -1000)
      }
    }
    try list.check(path: base.path)
    try SentencePieceVocabulary.checkBytes(list, path: base.path)
    for (index, merge) in tokenizer.merges.enumerated() {
      for part in [merge.left, merge.right, merge.left + merge.right] where base.id(of: part) == nil {
        throw FormatError(
          path: base.path, subject: "merge number \(index)", "needs \(part.debugDescription), which is not a token")
      }
    }
    self.added = added
    metadata = [
      "tokenizer.ggml.model": .string("gemma4"),
      "tokenizer.ggml.tokens": .array(.string(list.texts())),
      "tokenizer.ggml.scores": .array(.float32(list.scores)),
      "tokenizer.ggml.token_type": list.typeValue,
      "tokenizer.ggml.merges": .array(.string(tokenizer.merges.map(BytePairVocabulary.line))),
      "tokenizer.ggml.add_space_prefix": .bool(false),
    ]
  }
}
