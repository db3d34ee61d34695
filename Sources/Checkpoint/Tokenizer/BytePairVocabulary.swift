import Files
import GGUF
import Tokenizers

/// The GGUF keys of a byte-level tokenizer.json: tokens, types, merges, and the name of its splitter.
struct BytePairVocabulary {
  let metadata: Metadata
  /// Notes on tokens that the GGUF treats differently from the files.
  let notes: [String]

  /// - Parameters:
  ///   - added: the added tokens with ids below `count`.
  ///   - pre: llama.cpp's name of the splitter; nil to recognise it by its structure.
  init(
    _ tokenizer: TokenizerJSON, _ base: BaseVocabulary, added: [AddedToken], count: Int, mergesPath: String?,
    pre: String?
  ) throws {
    let path = tokenizer.path
    let structure = SplitStructure(tokenizer)
    let name = try Self.name(structure, tokenizer, pre: pre)
    var list = TokenList(count: count)
    for (id, token) in base.tokens.enumerated() {
      guard let token else { continue }
      guard id < count else {
        throw FormatError(
          path: path, subject: "token \(token.debugDescription)",
          "has id \(id); config.json gives a vocabulary of \(count)")
      }
      list.set(id, token, .normal)
    }
    let merged = try Self.merges(tokenizer, mergesPath: mergesPath, base)
    let text = Self.textTokens(added, base, merged)
    var notes: [String] = []
    for token in added {
      let subject = "token \(token.content.debugDescription)"
      if token.isSpecial || TokenList.looksSpecial(token.content) {
        list.set(token.id, token.content, .control)
      } else if text.contains(token.id) {
        notes.append("\(path): \(subject) remains a word of the vocabulary; it is not searched for in text")
      } else {
        list.set(token.id, token.content, .userDefined)
      }
      if token.isNormalized, structure.composes == true,
        !composed(token.content[...]).utf8.elementsEqual(token.content.utf8)
      {
        notes.append("\(path): \(subject) is not composed (NFC); it is searched for as written, not composed")
      }
    }
    try list.check(path: path)
    self.notes = notes

    var metadata: Metadata = [
      "tokenizer.ggml.model": .string("gpt2"),
      "tokenizer.ggml.pre": .string(name),
      "tokenizer.ggml.tokens": .array(.string(list.texts())),
      "tokenizer.ggml.token_type": list.typeValue,
    ]
    if !merged.isEmpty { metadata["tokenizer.ggml.merges"] = .array(.string(merged.map(Self.line))) }
    let ignoresMerges = tokenizer.model["ignore_merges"]?.bool ?? false
    self.metadata = try Self.adapted(
      metadata, name, ignoresMerges: ignoresMerges, composes: structure.composes, isGiven: pre != nil)
  }

  /// Completes the keys with settings that the splitter's name does not imply: by a name that implies them, or else by
  /// separate keys.
  private static func adapted(
    _ metadata: Metadata, _ name: String, ignoresMerges: Bool, composes: Bool?, isGiven: Bool
  ) throws -> Metadata {
    guard var named = PreTokenizer(name: name) else { return metadata }
    var metadata = metadata
    if named.ignoresMerges != ignoresMerges, try !Tokenizer(metadata: metadata).mergesGiveAllTokens {
      if !isGiven, let other = PreTokenizer.name(for: named.splitter, ignoresMerges: ignoresMerges),
        let tokenizer = PreTokenizer(name: other)
      {
        metadata["tokenizer.ggml.pre"] = .string(other)
        named = tokenizer
      }
      if named.ignoresMerges != ignoresMerges { metadata[PreTokenizer.ignoresMergesKey] = .bool(ignoresMerges) }
    }
    if let composes, composes != named.composes { metadata[PreTokenizer.composesKey] = .bool(composes) }
    return metadata
  }

  private static func name(_ structure: SplitStructure, _ tokenizer: TokenizerJSON, pre: String?) throws -> String {
    if let pre {
      guard PreTokenizer(name: pre) != nil else {
        throw FormatError(
          topic: .misnamedSplitter, path: tokenizer.path, subject: "splitter \(pre)", "is unknown",
          hint: "known: \(PreTokenizer.names.joined(separator: ", "))")
      }
      return pre
    }
    guard structure.composes != nil, let steps = structure.steps, let splitter = Splitter(steps: steps),
      let name = PreTokenizer.name(for: splitter)
    else {
      throw FormatError(
        topic: .unknownSplitter, path: tokenizer.path, subject: "key pre_tokenizer",
        "has an unknown structure: \(structure.description)",
        hint: "known: \(PreTokenizer.names.joined(separator: ", "))")
    }
    return name
  }

  /// The ids of added tokens that are also merged from bytes and whose bytes decode to other text, such as a word with
  /// a leading blank. They remain words of the vocabulary.
  private static func textTokens(
    _ tokens: [AddedToken], _ base: BaseVocabulary, _ merges: [(left: String, right: String)]
  ) -> Set<Int> {
    var ids = Set<Int>()
    for token in tokens where base.id(of: token.content) == token.id {
      guard let bytes = ByteAlphabet.bytes(of: token.content), let text = String(validating: bytes, as: UTF8.self),
        !text.utf8.elementsEqual(token.content.utf8)
      else { continue }
      ids.insert(token.id)
    }
    guard !ids.isEmpty else { return ids }
    var merged = Set(ids.filter { base[$0]?.unicodeScalars.count == 1 })
    for merge in merges {
      if let id = base.id(of: merge.left + merge.right), ids.contains(id) { merged.insert(id) }
    }
    return merged
  }

  private static func merges(
    _ tokenizer: TokenizerJSON, mergesPath: String?, _ base: BaseVocabulary
  ) throws -> [(left: String, right: String)] {
    var (merges, path) = (tokenizer.merges, tokenizer.mergesPath)
    if merges.isEmpty, let mergesPath { (merges, path) = (try VocabularyFiles.merges(mergesPath), mergesPath) }
    for (index, merge) in merges.enumerated() {
      for part in [merge.left, merge.right, merge.left + merge.right] where base.id(of: part) == nil {
        throw FormatError(
          path: path, subject: "merge number \(index)", "needs \(part.debugDescription), which is not a token")
      }
    }
    return merges
  }

  /// A merge as GGUF writes it: a blank separates the parts, and U+0120 replaces blanks inside them.
  static func line(_ merge: (left: String, right: String)) -> String {
    [merge.left, merge.right].map { part in
      String(decoding: part.utf8.flatMap { $0 == 0x20 ? [0xC4, 0xA0] : [$0] }, as: UTF8.self)
    }.joined(separator: " ")
  }
}
