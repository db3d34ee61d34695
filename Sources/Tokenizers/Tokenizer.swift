import GGUF

/// Converts text to token ids and back, like the model's own tokenizer. Built from a GGUF's metadata.
///
///     let tokenizer = try Tokenizer(metadata: model.metadata)
///     let ids = tokenizer.encode("Hello, world!")
public struct Tokenizer: Sendable {
  /// The number of tokens.
  public let vocabularyCount: Int
  /// The token that begins a text.
  public let bos: Int32?
  /// The token that ends a text.
  let eos: Int32?
  /// Whether texts and scoring windows begin with ``bos``.
  public let addsBOS: Bool
  let addsEOS: Bool
  private let encoder: Encoder
  private let special: SpecialTokens
  private let vocabulary: Vocabulary

  private enum Encoder: Sendable {
    case bytePairs(BytePairEncoder)
    case characterPairs(CharacterPairEncoder)
    case scores(ScoreEncoder, addsBlank: Bool)
  }

  /// The GGUF key of a flag: a blank is added only in front of a text, not after special tokens.
  package static let prefixesOnceKey = "tokenizer.ggml.add_space_prefix_once"
  private let prefixesOnce: Bool

  /// - Throws: ``TokenizerError`` or `MetadataError`, which name the invalid key.
  public init(metadata: Metadata) throws {
    guard metadata["tokenizer.ggml.model"] != nil else {
      throw TokenizerError(key: "tokenizer.ggml.model", "is missing: the model has no tokenizer")
    }
    let model = try metadata.string("tokenizer.ggml.model")
    guard ["gpt2", "llama", "gemma4"].contains(model) else {
      throw TokenizerError(
        key: "tokenizer.ggml.model", "is \(model), which is unknown", hint: "known: gpt2, llama, gemma4")
    }
    let vocabulary = try Vocabulary(metadata: metadata)
    let count = vocabulary.tokens.count
    var addsBOSByDefault = true
    if model == "gpt2" {
      let name = metadata.optionalString("tokenizer.ggml.pre") ?? "default"
      guard var preTokenizer = PreTokenizer(name: name) else {
        throw TokenizerError(
          key: "tokenizer.ggml.pre", "is \(name), which is unknown",
          hint: "known: \(PreTokenizer.names.joined(separator: ", "))")
      }
      if let flag = metadata.optionalBool(PreTokenizer.ignoresMergesKey) { preTokenizer.ignoresMerges = flag }
      if let flag = metadata.optionalBool(PreTokenizer.composesKey) { preTokenizer.composes = flag }
      addsBOSByDefault = preTokenizer.addsBOS
      encoder = .bytePairs(
        try BytePairEncoder(
          vocabulary: vocabulary, merges: metadata.optionalStrings("tokenizer.ggml.merges") ?? [],
          preTokenizer: preTokenizer))
      bos = try Self.id("bos", metadata, count: count)
      eos = try Self.id("eos", metadata, count: count)
    } else if model == "gemma4" {
      guard let merges = metadata.optionalStrings("tokenizer.ggml.merges") else {
        throw TokenizerError(key: "tokenizer.ggml.merges", "is missing")
      }
      encoder = .characterPairs(try CharacterPairEncoder(vocabulary: vocabulary, merges: merges))
      bos = try Self.id("bos", metadata, count: count)
      eos = try Self.id("eos", metadata, count: count)
    } else {
      encoder = .scores(
        try ScoreEncoder(
          vocabulary: vocabulary, scores: try Self.scores(metadata, count: count),
          unknown: try Self.id("unknown", metadata, count: count, default: 0)),
        addsBlank: metadata.optionalBool("tokenizer.ggml.add_space_prefix") ?? true)
      bos = try Self.id("bos", metadata, count: count, default: 1)
      eos = try Self.id("eos", metadata, count: count, default: 2)
    }
    vocabularyCount = count
    prefixesOnce = metadata.optionalBool(Self.prefixesOnceKey) ?? false
    // llama.cpp adds BOS for Gemma 4, whatever the file says.
    addsBOS = model == "gemma4" || metadata.optionalBool("tokenizer.ggml.add_bos_token") ?? addsBOSByDefault
    addsEOS = metadata.optionalBool("tokenizer.ggml.add_eos_token") ?? false
    special = SpecialTokens(vocabulary)
    self.vocabulary = vocabulary
  }

  private static func id(
    _ name: String, _ metadata: Metadata, count: Int, default fallback: Int32? = nil
  ) throws -> Int32? {
    let key = "tokenizer.ggml.\(name)_token_id"
    guard let id = metadata.optionalInt(key) else { return fallback.flatMap { $0 < count ? $0 : nil } }
    guard (0..<count).contains(id) else { throw TokenizerError(key: key, "is \(id), beyond \(count) tokens") }
    return Int32(id)
  }

  private static func scores(_ metadata: Metadata, count: Int) throws -> [Float] {
    let key = "tokenizer.ggml.scores"
    guard case .array(.float32(let scores)) = metadata[key] else {
      throw TokenizerError(key: key, metadata[key] == nil ? "is missing" : "is not an array of f32")
    }
    guard scores.count == count, scores.allSatisfy({ !$0.isNaN }) else {
      throw TokenizerError(key: key, "has \(scores.count) entries for \(count) tokens, or one that is not a number")
    }
    return scores
  }

  /// Encodes a text.
  ///
  /// - Parameters:
  ///   - addSpecial: adds BOS at the start and EOS at the end, if the model requires them.
  ///   - parseSpecial: replaces the text of control tokens by the tokens.
  public func encode(_ text: String, addSpecial: Bool = true, parseSpecial: Bool = false) -> [Int32] {
    var ids: [Int32] = []
    if addSpecial, addsBOS, let bos { ids.append(bos) }
    // A blank is added in front of a text and, as in llama.cpp, after a special token.
    var isStart = true
    for piece in special.pieces(of: text, parseSpecial: parseSpecial) {
      switch (piece, encoder) {
      case (.token(let id), _): ids.append(id)
      case (.text(let text), .bytePairs(let encoder)): encoder.encode(text, into: &ids)
      case (.text(let text), .characterPairs(let encoder)): encoder.encode(text, into: &ids)
      case (.text(let text), .scores(let encoder, let addsBlank)):
        encoder.encode(text, prefixed: addsBlank && isStart, into: &ids)
      }
      if case .token = piece { isStart = !prefixesOnce } else { isStart = false }
    }
    if addSpecial, addsEOS, let eos { ids.append(eos) }
    return ids
  }

  /// The bytes of a token; the text of a control token. Empty for an id beyond the vocabulary.
  public func piece(_ id: Int32) -> [UInt8] {
    switch encoder {
    case .bytePairs(let encoder): encoder.bytes(of: id)
    case .characterPairs(let encoder): encoder.bytes(of: id)
    case .scores(let encoder, _): encoder.bytes(of: id)
    }
  }

  /// The bytes of tokens, without the blank that SentencePiece adds in front.
  public func decode(_ ids: [Int32]) -> [UInt8] {
    let bytes = ids.flatMap { piece($0) }
    if case .scores(_, addsBlank: true) = encoder, bytes.first == 0x20 { return Array(bytes.dropFirst()) }
    return bytes
  }

  /// Whether `ignore_merges` has no effect, because merging a token's bytes always gives the token.
  package var mergesGiveAllTokens: Bool {
    if case .bytePairs(let encoder) = encoder { encoder.mergesGiveAllTokens() } else { false }
  }

  /// The type of a token; `undefined` for an id beyond the vocabulary.
  public func type(of id: Int32) -> TokenType {
    vocabulary.types.indices.contains(Int(id)) ? vocabulary.types[Int(id)] : .undefined
  }
}
