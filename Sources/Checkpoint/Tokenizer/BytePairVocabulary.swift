import Files
import GGUF
import Tensors
import Tokenizers

/// The keys of a byte-level tokenizer.json: tokens, types, merges, and the name of its splitter.
struct BytePairVocabulary {
  let metadata: Metadata
  let tokenCount: Int

  /// - Parameter pre: what `--pre` says; without it, the splitter is recognised by its structure.
  init(_ tokenizer: TokenizerJSON, vocabularySize: Int?, mergesPath: String?, pre: String?) throws {
    let path = tokenizer.path
    let structure = SplitStructure(tokenizer)
    let name = try Self.name(structure, tokenizer, pre: pre)

    let largest = max(tokenizer.vocabulary.map(\.id).max() ?? 0, tokenizer.added.map(\.id).max() ?? 0)
    let count = vocabularySize ?? largest + 1
    // Without a size in config.json, ids are all that bounds what is allocated.
    guard count <= 1 << 24 else { throw CheckpointError(path: path, "gives a token the id \(largest)") }
    var list = TokenList(count: count)
    var ids = ByteTable(minimumCapacity: tokenizer.vocabulary.count)
    func check(_ token: String, _ id: Int) throws {
      guard id < count else {
        throw CheckpointError(
          path: path, subject: "token \(token.debugDescription)",
          "has id \(id); config.json gives a vocabulary of \(count)")
      }
      if let other = list.tokens[id], other.utf8.elementsEqual(token.utf8) == false {
        throw CheckpointError(
          path: path, subject: "token \(token.debugDescription)", "has id \(id), as has \(other.debugDescription)")
      }
    }
    for (token, id) in tokenizer.vocabulary {
      try check(token, id)
      if let other = ids.insert(Array(token.utf8), value: Int32(id)) {
        throw CheckpointError(
          path: path, subject: "token \(token.debugDescription)", "stands twice: it has ids \(other) and \(id)")
      }
      list.set(id, token, .normal)
    }
    let decodesBytes = tokenizer.decoder?["type"]?.string == "ByteLevel"
    for added in tokenizer.added {
      try check(added.content, added.id)
      // Tokens that are looked for in unchanged text are listed as that text.
      let bytes = added.isNormalized || !decodesBytes ? nil : ByteAlphabet.bytes(of: added.content)
      let (text, type) = TokenList.added(
        bytes.map { String(decoding: $0, as: UTF8.self) } ?? added.content, isSpecial: added.isSpecial)
      list.set(added.id, text, type)
    }
    try list.check(path: path)

    var metadata: Metadata = [
      "tokenizer.ggml.model": .string("gpt2"),
      "tokenizer.ggml.pre": .string(name),
      "tokenizer.ggml.tokens": .array(.string(list.texts())),
      "tokenizer.ggml.token_type": list.typeValue,
    ]
    let merges = try Self.merges(tokenizer, mergesPath: mergesPath, ids: ids)
    if !merges.isEmpty { metadata["tokenizer.ggml.merges"] = .array(.string(merges)) }
    let ignoresMerges = tokenizer.model["ignore_merges"]?.bool ?? false
    self.metadata = try Self.adapted(
      metadata, name, ignoresMerges: ignoresMerges, composes: structure.composes, isGiven: pre != nil)
    tokenCount = count
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
        throw CheckpointError(
          path: tokenizer.path, subject: "--pre \(pre)", "is unknown",
          hint: "known: \(PreTokenizer.names.joined(separator: ", "))")
      }
      return pre
    }
    guard structure.composes != nil, let steps = structure.steps, let splitter = Splitter(steps: steps),
      let name = PreTokenizer.name(for: splitter)
    else {
      throw CheckpointError(
        path: tokenizer.path, subject: "key pre_tokenizer", "has an unknown structure: \(structure.description)",
        hint: "name the one it equals with --pre NAME; known: \(PreTokenizer.names.joined(separator: ", "))")
    }
    return name
  }

  private static func merges(_ tokenizer: TokenizerJSON, mergesPath: String?, ids: ByteTable) throws -> [String] {
    guard !tokenizer.merges.isEmpty else { return try mergesPath.map(mergesFile) ?? [] }
    return try tokenizer.merges.enumerated().map { index, merge in
      let parts = [Array(merge.left.utf8), Array(merge.right.utf8)]
      for part in parts + [parts[0] + parts[1]] where ids.value(of: part) == nil {
        throw CheckpointError(
          path: tokenizer.path, subject: "merge number \(index)",
          "needs \(String(decoding: part, as: UTF8.self).debugDescription), which is no token")
      }
      // A blank separates the parts; inside of one, U+0120 stands for it.
      return parts.map { part in
        String(decoding: part.flatMap { $0 == 0x20 ? [0xC4, 0xA0] : [$0] }, as: UTF8.self)
      }.joined(separator: " ")
    }
  }

  /// merges.txt: a pair a line, under a line that begins with a number sign.
  private static func mergesFile(_ path: String) throws -> [String] {
    try TextFile(path: path, limit: 64 << 20).text.split(separator: "\n").enumerated().compactMap { index, line in
      let parts = line.split(whereSeparator: \.isWhitespace)
      return index == 0 && line.hasPrefix("#") || parts.count != 2 ? nil : parts.joined(separator: " ")
    }
  }
}
