import GGUF

/// Text to token ids and back, as the model's own tokenizer does it; built from a GGUF's metadata.
///
///     let tokenizer = try Tokenizer(metadata: model.metadata)
///     let ids = tokenizer.encode("Hello, world!")
public struct Tokenizer: Sendable {
  public let vocabularyCount: Int
  public let bos: Int32?
  public let eos: Int32?
  /// Whether texts and scoring windows begin with ``bos``.
  public let addsBOS: Bool
  public let addsEOS: Bool
  private let encoder: BytePairEncoder
  private let special: SpecialTokens

  /// - Throws: ``TokenizerError`` or `MetadataError` that names the key at fault.
  public init(metadata: Metadata) throws {
    guard metadata["tokenizer.ggml.model"] != nil else {
      throw TokenizerError(key: "tokenizer.ggml.model", "is missing: the model has no tokenizer")
    }
    let model = try metadata.string("tokenizer.ggml.model")
    guard model == "gpt2" else {
      throw TokenizerError(key: "tokenizer.ggml.model", "is \(model), which is unknown", hint: "known: gpt2")
    }
    let tokens = try metadata.strings("tokenizer.ggml.tokens")
    let types: [Int32] =
      if case .array(.int32(let types)) = metadata["tokenizer.ggml.token_type"] { types } else { [] }
    guard types.isEmpty || types.count == tokens.count else {
      throw TokenizerError(key: "tokenizer.ggml.token_type", "has \(types.count) entries for \(tokens.count) tokens")
    }
    let pre = metadata.optionalString("tokenizer.ggml.pre") ?? "default"
    guard let splitter = Splitter(name: pre) else {
      throw TokenizerError(
        key: "tokenizer.ggml.pre", "is \(pre), which is unknown", hint: "known: \(Splitter.names)")
    }
    vocabularyCount = tokens.count
    bos = try Self.id("bos", metadata, count: tokens.count)
    eos = try Self.id("eos", metadata, count: tokens.count)
    // llama.cpp puts BOS in front for these splitters unless the model says otherwise.
    addsBOS = metadata.optionalBool("tokenizer.ggml.add_bos_token") ?? (splitter == .llama)
    addsEOS = metadata.optionalBool("tokenizer.ggml.add_eos_token") ?? false
    encoder = try BytePairEncoder(
      tokens: tokens, merges: metadata.optionalStrings("tokenizer.ggml.merges") ?? [], splitter: splitter)
    special = SpecialTokens(tokens: tokens, types: types)
  }

  private static func id(_ name: String, _ metadata: Metadata, count: Int) throws -> Int32? {
    let key = "tokenizer.ggml.\(name)_token_id"
    guard let id = metadata.optionalInt(key) else { return nil }
    guard (0..<count).contains(id) else { throw TokenizerError(key: key, "is \(id), beyond \(count) tokens") }
    return Int32(id)
  }

  /// Token ids of a text.
  ///
  /// - Parameters:
  ///   - addSpecial: puts BOS in front and EOS behind where the model asks for it.
  ///   - parseSpecial: takes the text of control tokens for the tokens themselves.
  public func encode(_ text: String, addSpecial: Bool = true, parseSpecial: Bool = false) -> [Int32] {
    var ids: [Int32] = []
    if addSpecial, addsBOS, let bos { ids.append(bos) }
    for piece in special.pieces(of: text, parseSpecial: parseSpecial) {
      switch piece {
      case .token(let id): ids.append(id)
      case .text(let text): encoder.encode(text, into: &ids)
      }
    }
    if addSpecial, addsEOS, let eos { ids.append(eos) }
    return ids
  }

  /// The bytes that ids stand for; control tokens give their text.
  public func decode(_ ids: [Int32]) -> [UInt8] { ids.flatMap { encoder.bytes(of: $0) } }
}
