import GGUF
import Testing
import Tokenizers

/// Tokenizers of a few tokens: special tokens, composition and blanks, and invalid metadata.
@Suite struct SyntheticTokenizerTests {
  /// The 256 bytes, then `more`.
  private func bytePairs(
    _ more: [(String, TokenType)] = [], merges: [String] = [], pre: String = "llama-bpe", keys: Metadata = [:]
  ) -> Metadata {
    let bytes = (0..<256 as Range<UInt32>).map { byte -> String in
      let isPrintable = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
      let unprintable = (0..<byte).count {
        !(0x21...0x7E).contains($0) && !(0xA1...0xAC).contains($0) && !(0xAE...0xFF).contains($0)
      }
      return String(Unicode.Scalar(isPrintable ? byte : 0x100 + UInt32(unprintable))!)
    }
    let types = [Int32](repeating: 1, count: 256) + more.map(\.1.rawValue)
    var metadata: Metadata = [
      "tokenizer.ggml.model": .string("gpt2"), "tokenizer.ggml.pre": .string(pre),
      "tokenizer.ggml.tokens": .array(.string(bytes + more.map(\.0))),
      "tokenizer.ggml.token_type": .array(.int32(types)),
      "tokenizer.ggml.merges": .array(.string(merges)),
    ]
    metadata.merge(keys) { $1 }
    return metadata
  }

  @Test func theLongestSpecialTokenIsFound() throws {
    let tokenizer = try Tokenizer(
      metadata: bytePairs([("<a", .userDefined), ("<a>", .userDefined), ("<|x|>", .control), ("<a><|", .unused)]))
    #expect(tokenizer.encode("b<a>c<a", addSpecial: false) == [98, 257, 99, 256])
    #expect(tokenizer.encode("<|x|>", addSpecial: false) == Array("<|x|>".utf8).map(Int32.init))
    #expect(tokenizer.encode("<a><|x|>", addSpecial: false, parseSpecial: true) == [257, 258])
  }

  @Test func mergesApplyByRankThenFromTheLeft() throws {
    let more: [(String, TokenType)] = [("ab", .normal), ("bc", .normal), ("abc", .normal), ("aa", .normal)]
    func ids(_ merges: [String], _ text: String) throws -> [Int32] {
      try Tokenizer(metadata: bytePairs(more, merges: merges, pre: "gpt-2")).encode(text, addSpecial: false)
    }
    #expect(try ids(["a b", "b c"], "abc") == [256, 99])
    #expect(try ids(["b c", "a b"], "abc") == [97, 257])
    #expect(try ids(["b c", "a bc"], "abcabc") == [258, 258])
    #expect(try ids(["a a"], "aaaaa") == [259, 259, 97])
  }

  @Test func wordsThatAreTokensAreNotMerged() throws {
    let more: [(String, TokenType)] = [("ab", .normal), ("abc", .normal)]
    func ids(_ keys: Metadata) throws -> [Int32] {
      try Tokenizer(metadata: bytePairs(more, merges: ["a b"], keys: keys)).encode("abc", addSpecial: false)
    }
    #expect(try ids([:]) == [257])
    #expect(try ids(["tokenizer.ggml.ignore_merges": .bool(false)]) == [256, 99])
  }

  /// Pairs of text and its NFC according to Python's `unicodedata`.
  @Test(arguments: [
    ("e\u{301}", "\u{E9}"), ("a\u{316}\u{301}", "\u{E1}\u{316}"), ("\u{1100}\u{1161}\u{11A8}", "\u{AC01}"),
    ("\u{D06C}\u{11A8}\u{11B5}", "\u{D06D}\u{11B5}"), ("\u{1100}\u{1161}\u{11A8}\u{11A8}", "\u{AC01}\u{11A8}"),
    ("\u{593}\u{F81}", "\u{F71}\u{F80}\u{593}"), ("\u{212B}", "\u{C5}"), ("\u{958}", "\u{915}\u{93C}"),
    ("plain", "plain"),
  ]) func textIsComposed(text: String, composed: String) throws {
    let qwen = try Tokenizer(metadata: bytePairs(pre: "qwen2"))
    #expect(qwen.encode(text, addSpecial: false) == ids(composed))
    let llama = try Tokenizer(metadata: bytePairs())
    #expect(llama.encode(text, addSpecial: false) == ids(text))
  }

  /// Ids of ``bytePairs(_:merges:pre:keys:)`` without merges.
  private func ids(_ text: String) -> [Int32] { text.utf8.map(Int32.init) }

  private func sentencePiece(_ keys: Metadata = [:]) -> Metadata {
    let bytes = (0..<256).map {
      "<0x" + (String($0, radix: 16, uppercase: true).count == 1 ? "0" : "") + String($0, radix: 16, uppercase: true)
        + ">"
    }
    let tokens = ["<unk>", "<s>", "</s>"] + bytes + ["\u{2581}", "a", "b", "ab", "\u{2581}a", "bb", "<x>"]
    let types: [Int32] = [2, 3, 3] + [Int32](repeating: 6, count: 256) + [1, 1, 1, 1, 1, 1, 4]
    var scores = [Float](repeating: 0, count: tokens.count)
    for (id, score) in zip(259..., [-9, -8, -7, -2, -1, -2, 0] as [Float]) { scores[id] = score }
    var metadata: Metadata = [
      "tokenizer.ggml.model": .string("llama"), "tokenizer.ggml.tokens": .array(.string(tokens)),
      "tokenizer.ggml.token_type": .array(.int32(types)), "tokenizer.ggml.scores": .array(.float32(scores)),
    ]
    metadata.merge(keys) { $1 }
    return metadata
  }

  @Test func sentencePieceMergesByScoreAndFallsBackToBytes() throws {
    let tokenizer = try Tokenizer(metadata: sentencePiece())
    // " abb": the blank and a (-1) merge before a and b (-2) or b and b (-2).
    #expect(tokenizer.encode("abb") == [1, 263, 264])
    #expect(tokenizer.encode("\u{E9}", addSpecial: false) == [259, 3 + 0xC3, 3 + 0xA9])
    #expect(tokenizer.encode("b<x>b", addSpecial: false) == [259, 261, 265, 259, 261])
    #expect(tokenizer.encode("", addSpecial: false).isEmpty)
    #expect(tokenizer.decode(tokenizer.encode("ab \u{E9}\n", addSpecial: false)) == Array("ab \u{E9}\n".utf8))
    let without = try Tokenizer(metadata: sentencePiece(["tokenizer.ggml.add_space_prefix": .bool(false)]))
    #expect(without.encode("ab", addSpecial: false) == [262])
  }

  @Test func metadataDecidesOnBOSAndEOS() throws {
    let keys: Metadata = [
      "tokenizer.ggml.bos_token_id": .uint32(65), "tokenizer.ggml.eos_token_id": .uint32(66),
      "tokenizer.ggml.add_bos_token": .bool(false), "tokenizer.ggml.add_eos_token": .bool(true),
    ]
    #expect(try Tokenizer(metadata: bytePairs(keys: keys)).encode("x") == [120, 66])
  }

  static let broken: [(String, MetadataValue?, String)] = [
    ("tokenizer.ggml.model", .string("bert"), "is bert"), ("tokenizer.ggml.pre", .string("nonesuch"), "is nonesuch"),
    ("tokenizer.ggml.token_type", .array(.int32([1, 1])), "2 entries for 256"),
    ("tokenizer.ggml.token_type", .string("x"), "not an array"),
    ("tokenizer.ggml.merges", .array(.string(["a b", "ab"])), "entry 1 is not a pair"),
    ("tokenizer.ggml.tokens", .array(.string([])), "0 entries"),
    ("tokenizer.ggml.bos_token_id", .uint32(256), "beyond 256"),
  ]

  @Test(arguments: broken) func damagedMetadataNamesTheKey(key: String, value: MetadataValue?, reason: String) throws {
    var metadata = bytePairs()
    metadata[key] = value
    let error = #expect(throws: TokenizerError.self) { try Tokenizer(metadata: metadata) }
    #expect(error?.description.contains(key) == true && error?.description.contains(reason) == true, "\(error as Any)")
  }

  @Test func tokensMustDiffer() {
    let error = #expect(throws: TokenizerError.self) { try Tokenizer(metadata: bytePairs([("a", .normal)])) }
    #expect(error?.description.contains("\"a\" twice: ids 97 and 256") == true)
  }

  @Test func missingScoresAreRefused() throws {
    for scores in [nil, MetadataValue.array(.float32([1])), .array(.float32([Float](repeating: .nan, count: 266)))] {
      var metadata = sentencePiece()
      metadata["tokenizer.ggml.scores"] = scores
      let error = #expect(throws: TokenizerError.self) { try Tokenizer(metadata: metadata) }
      #expect(error?.key == "tokenizer.ggml.scores")
    }
  }
}
