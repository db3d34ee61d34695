import Files
import GGUF
import Tokenizers

/// The GGUF keys of a Hugging Face directory's tokenizer, in the order and with the values of llama.cpp's converter.
///
/// Deliberate differences from the converter:
/// - The splitter is recognised by its structure, whatever the vocabulary. The converter recognises vocabularies by a
///   hash of sample ids.
/// - SentencePiece from tokenizer.json has scores in the order of its merges. The converter writes -1000 for every
///   token, which encodes text wrongly. Unused ids are padding there too.
/// - If a tokenizer.json composes text or ignores merges, and the splitter's name does not imply it,
///   `tokenizer.ggml.normalizer.nfc` and `tokenizer.ggml.ignore_merges` are written.
/// - `add_space_prefix` is written for a tokenizer.model that puts no blank in front of text, and
///   `add_space_prefix_once` for one that puts it only there.
/// - Added tokens come from all files, by the rule of ``AddedTokens``, and are written unchanged.
/// - A SentencePiece model that llama.cpp cannot follow is refused.
struct CheckpointTokenizer {
  let metadata: Metadata
  /// Decisions taken where the files are ambiguous, one line each.
  let notes: [String]

  /// - Parameters:
  ///   - architecture: GGUF's name of the architecture; some rules are only for `llama`.
  ///   - pre: llama.cpp's name of the splitter; nil to recognise it by its structure.
  /// - Throws: `FormatError` if the tokenizer is missing, damaged or of an unknown kind.
  init(directory: String, config: Config, architecture: String, pre: String?) throws {
    let files = try TokenizerFiles(directory: directory)
    let size: Int? = config["vocab_size"] == nil ? nil : try config.int("vocab_size")
    if let size, size > 1 << 24 {
      throw FormatError(path: config.path, subject: "key vocab_size", "is \(size), more than any model's")
    }
    let isLlama = architecture == "llama"
    let addsBlank = isLlama ? files.config?["add_prefix_space"]?.bool : nil
    if let path = Self.tekken(files, isPreferred: config.isMistralForm) {
      let vocabulary = try TekkenVocabulary(path: path, size: size, pre: pre)
      (metadata, notes) = (vocabulary.metadata, vocabulary.notes)
      return
    }
    let json = try files.path("tokenizer.json").map { try TokenizerJSON(path: $0) }
    // DeepSeek 2 and its successors do not use SentencePiece; a tokenizer.model is a remnant.
    let model = architecture == "deepseek2" ? nil : try Self.sentencePiece(files, hasJSON: json != nil)
    let parts: Parts
    if architecture == "gemma4", let json {
      guard pre == nil else { throw Self.needlessSplitter(directory, "its characters are merged without one") }
      try Self.checkKind(json, isSentencePiece: true)
      let pairs = try CharacterPairVocabulary(json, files, size: size)
      parts = Parts(
        metadata: pairs.metadata, added: pairs.added, bound: nil, addsBOS: true, notes: pairs.added.notes)
    } else if model != nil || json.map({ $0.isSentencePiece && !Self.isByteLevel($0) }) == true {
      guard pre == nil else {
        throw Self.needlessSplitter(directory, "the tokenizer is SentencePiece's, which has no splitter")
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
    var rules = try SpecialRules(
      json, added: parts.added.tokens, isAlone: json == nil && (model != nil || files.path("tiktoken.model") != nil),
      files: files, config: config,
      bound: parts.bound)
    rules.add(Self.unnamed(config, architecture), parts.added.tokens)
    metadata.merge(rules.metadata(templates: try ChatTemplate(files).metadata)) { $1 }
    // Code Llama's files do not name its end-of-infill token. Granite's small models must not get a BOS.
    if isLlama, size == 32016, metadata["tokenizer.ggml.eot_token_id"] == nil {
      metadata["tokenizer.ggml.eot_token_id"] = .uint32(32010)
    }
    if isLlama, size == 49152 { metadata["tokenizer.ggml.add_bos_token"] = .bool(false) }
    if rules.lacksBOS, metadata.optionalBool("tokenizer.ggml.add_bos_token") ?? parts.addsBOS {
      // Otherwise llama.cpp would use its default id, 1 or 11.
      metadata["tokenizer.ggml.add_bos_token"] = .bool(false)
    }
    // Gemma 4's texts begin with BOS, whatever the files say.
    if architecture == "gemma4" { metadata["tokenizer.ggml.add_bos_token"] = .bool(true) }
    try Self.checkIDs(metadata, rules, config)
    self.metadata = metadata
    notes = parts.notes
  }

  /// The path of tekken.json, if it is the tokenizer: of Mistral's own form always, otherwise if there is no other.
  private static func tekken(_ files: TokenizerFiles, isPreferred: Bool) -> String? {
    let others = ["tokenizer.json", "tokenizer.model", "vocab.json", "tiktoken.model"]
    return isPreferred || !others.contains { files.path($0) != nil } ? files.path("tekken.json") : nil
  }

  /// Tokens that end a turn, and others that readers need but the files of some models do not name.
  private static func unnamed(_ config: Config, _ architecture: String) -> [(kind: String, content: String)] {
    if architecture == "muse-glimmer" { return [("eot", "<|eot|>")] }
    let isGLM = ["glm4moe", "glm-dsa"].contains(architecture) || config["model_type"]?.string == "glm4_moe_lite"
    return isGLM
      ? [("bos", "[gMASK]"), ("eot", "<|user|>"), ("unk", "<|endoftext|>"), ("eom", "<|observation|>")] : []
  }

  private static func needlessSplitter(_ directory: String, _ reason: String) -> FormatError {
    FormatError(
      topic: .needlessSplitter, path: directory, subject: "splitter", "does not apply: " + reason)
  }

  private struct Parts {
    let metadata: Metadata
    let added: AddedTokens
    let bound: Int?
    /// Whether llama.cpp adds BOS by default.
    let addsBOS: Bool
    let notes: [String]
  }

  /// - Parameter json: tokenizer.json; nil to read vocab.json and merges.txt.
  private static func byteLevel(
    _ json: TokenizerJSON?, _ files: TokenizerFiles, _ config: Config, size: Int?, pre: String?
  ) throws -> Parts {
    let separate = json == nil ? try VocabularyFiles(files, config, pre: pre) : nil
    let ranked = json == nil && separate == nil ? try TiktokenVocabulary(files, size: size, pre: pre) : nil
    guard let tokenizer = json ?? separate?.tokenizer ?? ranked?.tokenizer else { throw missing(files) }
    try checkKind(tokenizer)
    let base = try BaseVocabulary(path: tokenizer.path, tokenizer.vocabulary)
    var added = try AddedTokens(to: base, listed: tokenizer.added, files, defaults: separate?.defaultNames ?? [:])
    let count = try added.limit(to: size)
    let vocabulary = try BytePairVocabulary(
      tokenizer, base, added: added.tokens, count: count, mergesPath: files.path("merges.txt"),
      pre: ranked?.pre ?? pre)
    let name = vocabulary.metadata.optionalString("tokenizer.ggml.pre") ?? ""
    return Parts(
      metadata: vocabulary.metadata, added: added, bound: nil, addsBOS: PreTokenizer(name: name)?.addsBOS ?? false,
      notes: added.notes + vocabulary.notes)
  }

  /// Reads tokenizer.model; nil if it is text (Llama 3 has tiktoken's file under that name) and tokenizer.json exists.
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
    FormatError(
      .missing, path: files.directory + "/tokenizer.json", "is missing",
      hint: "a checkpoint needs tokenizer.json, tokenizer.model, tiktoken.model or tekken.json")
  }

  /// Refuses ids beyond the tokens, which would make the written file unreadable.
  private static func checkIDs(_ metadata: Metadata, _ rules: SpecialRules, _ config: Config) throws {
    let count = metadata.optionalStrings("tokenizer.ggml.tokens")?.count ?? 0
    for (kind, id) in rules.ids where id >= count {
      throw FormatError(path: config.path, subject: "key \(kind)_token_id", "is \(id), beyond \(count) tokens")
    }
  }
}

/// The GGUF keys of a directory's tokenizer, without reading weights.
///
/// - Parameter architecture: GGUF's name of the architecture.
package func tokenizerMetadata(directory: String, architecture: String, pre: String? = nil) throws -> Metadata {
  let config = try Config(path: directory + "/config.json")
  return try CheckpointTokenizer(directory: directory, config: config, architecture: architecture, pre: pre).metadata
}

/// The notes on a directory's tokenizer, without reading weights.
package func tokenizerNotes(directory: String, architecture: String) throws -> [String] {
  let config = try Config(path: directory + "/config.json")
  return try CheckpointTokenizer(directory: directory, config: config, architecture: architecture, pre: nil).notes
}
