import Files
import GGUF
import Tokenizers

/// The tokenizer of a Hugging Face directory as a GGUF's keys, in the order and with the values of llama.cpp's converter.
///
/// Deliberate differences from it:
/// - The splitter is recognised by its structure. Models whose structures are equal get one name, and any vocabulary has
///   one; the converter knows vocabularies by a hash of sample ids.
/// - SentencePiece from tokenizer.json gets scores in the order of its merges; the converter writes -1000 for every
///   token, with which no text is encoded right. Ids that no token has are padding there, too.
/// - Where a tokenizer.json composes text, or keeps words that are tokens from being merged, unlike other models of its
///   splitter's name, `tokenizer.ggml.normalizer.nfc` and `tokenizer.ggml.ignore_merges` say so.
/// - A tokenizer.model that puts no blank in front of text says so (`add_space_prefix`), and one that puts it nowhere else
///   (`add_space_prefix_once`).
/// - Added tokens come from every file, by the rule of ``AddedTokens``, and are written byte for byte as they are.
/// - A SentencePiece model that llama.cpp cannot follow is refused.
struct CheckpointTokenizer {
  let metadata: Metadata
  /// How it was read where its files leave that open, a line each.
  let notes: [String]

  /// - Parameters:
  ///   - architecture: GGUF's name of it; some rules hold for Llama's family only.
  ///   - pre: what `--pre` says.
  /// - Throws: `FormatError` where there is no tokenizer, one of an unknown kind, or a damaged one.
  init(directory: String, config: Config, architecture: String, pre: String?) throws {
    let files = try TokenizerFiles(directory: directory)
    let size: Int? = config["vocab_size"] == nil ? nil : try config.int("vocab_size")
    if let size, size > 1 << 24 {
      throw FormatError(path: config.path, subject: "key vocab_size", "is \(size), more than any model's")
    }
    let isLlama = architecture == "llama"
    let addsBlank = isLlama ? files.config?["add_prefix_space"]?.bool : nil
    let json = try files.path("tokenizer.json").map { try TokenizerJSON(path: $0) }
    // DeepSeek 2 and its successors never had a SentencePiece model; a file of that name is a remnant.
    let model = architecture == "deepseek2" ? nil : try Self.sentencePiece(files, hasJSON: json != nil)
    let parts: Parts
    if model != nil || json.map({ $0.isSentencePiece && !Self.isByteLevel($0) }) == true {
      guard pre == nil else {
        throw FormatError(
          topic: .needlessSplitter, path: directory, subject: "splitter",
          "does not apply: the tokenizer is SentencePiece's, which has no splitter")
      }
      if let json { try Self.checkKind(json, isSentencePiece: true) }
      let pieces = try SentencePieceVocabulary(model, json, files, size: size, addsBlank: addsBlank)
      parts = Parts(
        metadata: pieces.metadata, added: pieces.added, bound: pieces.tokenCount, addsBOS: true, notes: pieces.notes)
    } else {
      parts = try Self.byteLevel(json, files, config, size: size, pre: pre)
    }
    var metadata = parts.metadata
    if let addsBlank { metadata["tokenizer.ggml.add_space_prefix"] = .bool(addsBlank) }
    let rules = try SpecialRules(
      json, added: parts.added.tokens, isAlone: json == nil && model != nil, files: files, config: config,
      bound: parts.bound)
    metadata.merge(rules.metadata(templates: try ChatTemplate(files).metadata)) { $1 }
    // Code Llama's end of an infill has no name in its files; Granite's small models must not get a BOS.
    if isLlama, size == 32016, metadata["tokenizer.ggml.eot_token_id"] == nil {
      metadata["tokenizer.ggml.eot_token_id"] = .uint32(32010)
    }
    if isLlama, size == 49152 { metadata["tokenizer.ggml.add_bos_token"] = .bool(false) }
    if rules.lacksBOS, metadata.optionalBool("tokenizer.ggml.add_bos_token") ?? parts.addsBOS {
      // llama.cpp would put a token in front that nobody named: 1 or 11, its defaults.
      metadata["tokenizer.ggml.add_bos_token"] = .bool(false)
    }
    try Self.checkIDs(metadata, rules, config)
    self.metadata = metadata
    notes = parts.notes
  }

  private struct Parts {
    let metadata: Metadata
    let added: AddedTokens
    let bound: Int?
    /// Whether llama.cpp puts BOS in front where no key says so.
    let addsBOS: Bool
    let notes: [String]
  }

  /// - Parameter json: tokenizer.json; vocab.json and merges.txt take its place.
  private static func byteLevel(
    _ json: TokenizerJSON?, _ files: TokenizerFiles, _ config: Config, size: Int?, pre: String?
  ) throws -> Parts {
    let separate = json == nil ? try VocabularyFiles(files, config, pre: pre) : nil
    guard let tokenizer = json ?? separate?.tokenizer else { throw missing(files) }
    try checkKind(tokenizer)
    let base = try BaseVocabulary(path: tokenizer.path, tokenizer.vocabulary)
    var added = try AddedTokens(to: base, listed: tokenizer.added, files, defaults: separate?.defaultNames ?? [:])
    let count = try added.limit(to: size)
    let vocabulary = try BytePairVocabulary(
      tokenizer, base, added: added.tokens, count: count, mergesPath: files.path("merges.txt"), pre: pre)
    let name = vocabulary.metadata.optionalString("tokenizer.ggml.pre") ?? ""
    return Parts(
      metadata: vocabulary.metadata, added: added, bound: nil, addsBOS: PreTokenizer(name: name)?.addsBOS ?? false,
      notes: added.notes + vocabulary.notes)
  }

  /// tokenizer.model, unless it is of another kind (Llama 3 ships tiktoken's under that name) and tokenizer.json serves.
  private static func sentencePiece(_ files: TokenizerFiles, hasJSON: Bool) throws -> SentencePieceModel? {
    guard let path = files.path("tokenizer.model") else { return nil }
    let file = try PositionedFile(path: path)
    guard file.size <= 256 << 20 else {
      throw FormatError(path: path, "has \(file.size) bytes, too many for this file")
    }
    let bytes = try file.bytes(in: 0..<file.size)
    let isText = bytes.prefix(256).allSatisfy { $0 == 0x0A || (0x20..<0x7F).contains($0) }
    if isText, hasJSON { return nil }
    return try SentencePieceModel(path: path, bytes: bytes)
  }

  private static func isByteLevel(_ tokenizer: TokenizerJSON) -> Bool {
    SplitStructure(tokenizer).steps?.isEmpty == false
  }

  private static func checkKind(_ tokenizer: TokenizerJSON, isSentencePiece: Bool = false) throws {
    let kind = tokenizer.kind ?? "no kind"
    func suffix(_ key: String) -> Bool { tokenizer.model[key]?.string?.isEmpty == false }
    guard kind == "BPE", !tokenizer.vocabulary.isEmpty,
      isSentencePiece || tokenizer.model["byte_fallback"]?.bool != true,
      !suffix("continuing_subword_prefix"), !suffix("end_of_word_suffix")
    else {
      let bytes = tokenizer.model["byte_fallback"]?.bool == true ? " with byte_fallback" : ""
      throw FormatError(
        path: tokenizer.path, subject: "key model",
        "is of an unknown kind: \(kind)\(bytes), \(tokenizer.vocabulary.count) tokens, "
          + SplitStructure(tokenizer).description,
        hint: "known: byte-level BPE and SentencePiece's BPE with byte_fallback")
    }
  }

  private static func missing(_ files: TokenizerFiles) -> FormatError {
    let hint =
      files.path("tekken.json") != nil
      ? "tekken.json alone is not known: use the repository's Hugging Face form"
      : "a checkpoint has tokenizer.json or tokenizer.model beside config.json"
    return FormatError(.missing, path: files.directory + "/tokenizer.json", "is missing", hint: hint)
  }

  /// An id that no token has would make the written file unreadable.
  private static func checkIDs(_ metadata: Metadata, _ rules: SpecialRules, _ config: Config) throws {
    let count = metadata.optionalStrings("tokenizer.ggml.tokens")?.count ?? 0
    for (kind, id) in rules.ids where id >= count {
      throw FormatError(path: config.path, subject: "key \(kind)_token_id", "is \(id), beyond \(count) tokens")
    }
  }
}

/// The tokenizer's keys of a directory that needs no weights.
///
/// - Parameter architecture: GGUF's name of it.
package func tokenizerMetadata(directory: String, architecture: String, pre: String? = nil) throws -> Metadata {
  let config = try Config(path: directory + "/config.json")
  return try CheckpointTokenizer(directory: directory, config: config, architecture: architecture, pre: pre).metadata
}

/// The notes on the tokenizer of a directory that needs no weights.
package func tokenizerNotes(directory: String, architecture: String) throws -> [String] {
  let config = try Config(path: directory + "/config.json")
  return try CheckpointTokenizer(directory: directory, config: config, architecture: architecture, pre: nil).notes
}
