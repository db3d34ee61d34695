import Files
import GGUF
import Tokenizers

/// The keys of a byte-level tokenizer.json: tokens, types, merges, and the name of its splitter.
struct BytePairVocabulary {
  let metadata: Metadata
  /// Tokens that are written otherwise than the files have them.
  let notes: [String]

  /// - Parameters:
  ///   - added: without those whose ids `count` leaves out.
  ///   - pre: what `--pre` says; without it, the splitter is recognised by its structure.
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
        notes.append("\(path): \(subject) remains a word of the vocabulary; text that spells it so is not looked for")
      } else {
        list.set(token.id, token.content, .userDefined)
      }
      if token.isNormalized, structure.composes == true,
        !composed(token.content[...]).utf8.elementsEqual(token.content.utf8)
      {
        notes.append("\(path): \(subject) is not composed (NFC); it is looked for as it is written, and not composed")
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

  /// The keys with what the tokenizer does and the splitter's name does not imply: under another name that does, or else
  /// by keys of their own.
  private static func adapted(
    _ metadata: Metadata, _ name: String, ignoresMerges: Bool, composes: Bool?, isGiven: Bool
  ) throws -> Metadata {
    guard var known = PreTokenizer(name: name) else { return metadata }
    var metadata = metadata
    if known.ignoresMerges != ignoresMerges, try !Tokenizer(metadata: metadata).mergesGiveAllTokens {
      if !isGiven, let other = PreTokenizer.name(for: known.splitter, ignoresMerges: ignoresMerges),
        let tokenizer = PreTokenizer(name: other)
      {
        metadata["tokenizer.ggml.pre"] = .string(other)
        known = tokenizer
      }
      if known.ignoresMerges != ignoresMerges { metadata[PreTokenizer.ignoresMergesKey] = .bool(ignoresMerges) }
    }
    if let composes, composes != known.composes { metadata[PreTokenizer.composesKey] = .bool(composes) }
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

  /// The added tokens that the vocabulary makes of bytes and that stand for text which is written otherwise, such as a
  /// word behind a blank: they remain words of the vocabulary.
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
    var made = Set(ids.filter { base[$0]?.unicodeScalars.count == 1 })
    for merge in merges {
      if let id = base.id(of: merge.left + merge.right), ids.contains(id) { made.insert(id) }
    }
    return made
  }

  private static func merges(
    _ tokenizer: TokenizerJSON, mergesPath: String?, _ base: BaseVocabulary
  ) throws -> [(left: String, right: String)] {
    var (merges, path) = (tokenizer.merges, tokenizer.mergesPath)
    if merges.isEmpty, let mergesPath { (merges, path) = (try VocabularyFiles.merges(mergesPath), mergesPath) }
    for (index, merge) in merges.enumerated() {
      for part in [merge.left, merge.right, merge.left + merge.right] where base.id(of: part) == nil {
        throw FormatError(
          path: path, subject: "merge number \(index)", "needs \(part.debugDescription), which is no token")
      }
    }
    return merges
  }

  /// A merge as GGUF writes it: a blank separates the parts; inside of one, U+0120 stands for it.
  private static func line(_ merge: (left: String, right: String)) -> String {
    [merge.left, merge.right].map { part in
      String(decoding: part.utf8.flatMap { $0 == 0x20 ? [0xC4, 0xA0] : [$0] }, as: UTF8.self)
    }.joined(separator: " ")
  }
}
