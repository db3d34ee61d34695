import Checkpoint
import Files
import Foundation
import GGUF
import TestSupport
import Testing
import Tokenizers

/// A tokenizer.model, a tokenizer.json converted from one, and both together.
@Suite struct SentencePieceTests {
  private struct Piece {
    let text: String
    var score: Float = 0
    var type: UInt8 = 1
  }

  /// <unk>, <s>, </s>, the bytes from id 3 on, a blank, letters and two merges.
  private static let pieces: [Piece] =
    [Piece(text: "<unk>", type: 2), Piece(text: "<s>", type: 3), Piece(text: "</s>", type: 3)]
    + (0..<256).map {
      Piece(text: "<0x" + ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) + ">", type: 6)
    }
    + [("\u{2581}", -9), ("a", -8), ("b", -7), ("\u{2581}a", -1), ("ab", -2)].map { Piece(text: $0, score: $1) }

  private static func model(
    _ more: [Piece] = [], trainer: [UInt8] = [], normalizer: [UInt8] = [], replacing: [Int: Piece] = [:]
  ) -> [UInt8] {
    let pieces = (pieces + more).enumerated().map { replacing[$0] ?? $1 }
    let bytes = pieces.flatMap { TokenizerBadInputTests.piece($0.text, $0.score, type: $0.type) }
    return bytes + TokenizerBadInputTests.field(2, [3 << 3, 2, 0x98, 2, 1] + trainer)
      + TokenizerBadInputTests.field(3, [4 << 3, 0] + normalizer)
  }

  private static func json(
    added: [(id: Int, content: String, special: Bool)] = [], prefix: String = "first", normalizer: String = "null",
    more: [String] = [], replacing: [Int: String] = [:], leavingOut: Set<Int> = []
  ) throws -> String {
    let tokens = (pieces.map(\.text) + more).enumerated().map { replacing[$0] ?? $1 }
    let vocabulary = Dictionary(uniqueKeysWithValues: zip(tokens, tokens.indices).filter { !leavingOut.contains($1) })
    let entries = added.map {
      #"{"id":\#($0.id),"content":"\#($0.content)","special":\#($0.special),"normalized":false}"#
    }
    let step = #"{"type":"Metaspace","replacement":"▁","prepend_scheme":"\#(prefix)","split":false}"#
    let scheme = prefix.isEmpty ? "null" : step
    return
      #"{"added_tokens":[\#(entries.joined(separator: ","))],"normalizer":\#(normalizer),"pre_tokenizer":\#(scheme),"#
      + #""decoder":{"type":"Sequence","decoders":[]},"model":{"type":"BPE","byte_fallback":true,"vocab":"#
      + String(decoding: try JSONEncoder().encode(vocabulary), as: UTF8.self)
      + #","merges":[["▁","a"],["a","b"]]}}"#
  }

  private func read(
    _ files: [String: [UInt8]], config: String = #"{"vocab_size":272}"#
  ) throws -> (tokens: [String], types: [Int32], metadata: Metadata, notes: [String]) {
    let directory = try TemporaryDirectory()
    let all = files.merging(["config.json": Array(config.utf8)]) { $1 }
    for (name, bytes) in all {
      try Data(bytes).write(to: directory.url.appending(path: name))
    }
    let metadata = try tokenizerMetadata(directory: directory.url.path, architecture: "llama")
    guard case .array(.int32(let types)) = metadata["tokenizer.ggml.token_type"] else { return ([], [], metadata, []) }
    return (
      metadata.optionalStrings("tokenizer.ggml.tokens") ?? [], types, metadata,
      try tokenizerNotes(directory: directory.url.path, architecture: "llama")
    )
  }

  private func refusal(_ files: [String: [UInt8]]) -> String {
    let error = #expect(throws: FormatError.self) { try read(files) }
    return error.map { "\($0.description) | \($0.hint ?? "")" } ?? ""
  }

  private func ids(_ text: String, _ metadata: Metadata) throws -> [Int32] {
    try Tokenizer(metadata: metadata).encode(text, addSpecial: false, parseSpecial: true)
  }

  // MARK: beside tokenizer.json

  @Test func tokensOfTokenizerJSONAreAdded() throws {
    let json = try Self.json(added: [(2, "</s>", true), (264, "<|im_start|>", true), (265, "<think>", false)])
    for files in [
      ["tokenizer.model": Self.model(), "tokenizer.json": Array(json.utf8)], ["tokenizer.json": Array(json.utf8)],
    ] {
      let result = try read(files)
      #expect(result.tokens[263...266] == ["ab", "<|im_start|>", "<think>", "[PAD266]"])
      #expect(result.types[264...266] == [3, 4, 5] && result.types[2] == 3)
      // prepend_scheme adds a blank in front of a text, but not after a token.
      #expect(try ids("ab<|im_start|>ab<think>a", result.metadata) == [262, 261, 264, 263, 265, 260])
      #expect(result.notes.count == 1 && result.notes[0].contains("llama.cpp also adds one after each special token"))
    }
    let always = try Self.json(added: [(264, "<|im_start|>", true)], prefix: "always")
    let result = try read(["tokenizer.model": Self.model(), "tokenizer.json": Array(always.utf8)])
    #expect(try ids("<|im_start|>ab", result.metadata) == [264, 262, 261] && result.notes.isEmpty)
    let never = try read(["tokenizer.json": Array(try Self.json(prefix: "never").utf8)])
    #expect(try ids("ab", never.metadata) == [263])
  }

  @Test func piecesThatTokenizerJSONMarks() throws {
    let more = [Piece(text: "<|x|>"), Piece(text: "<y>"), Piece(text: "<z>", type: 4)]
    let json = try Self.json(added: [(264, "<|x|>", true), (265, "<y>", false)], more: more.map(\.text))
    let result = try read(["tokenizer.model": Self.model(more), "tokenizer.json": Array(json.utf8)])
    #expect(result.types[264...267] == [3, 4, 1, 5])
    #expect(try ids("<|x|><y>", result.metadata) == [264, 265])
  }

  /// A fine-tune may rename control pieces.
  @Test func controlPiecesMayBeRenamed() throws {
    let decoder = #"{"added_tokens_decoder":{"2":{"content":"<|im_end|>","special":true}}}"#
    let alone = try read(["tokenizer.model": Self.model(), "tokenizer_config.json": Array(decoder.utf8)])
    #expect(alone.tokens[2] == "<|im_end|>" && alone.types[2] == 3)
    #expect(alone.notes.contains { $0.contains(#"token "<|im_end|>" replaces "</s>", id 2"#) })
    let json = try Self.json(added: [(2, "<|im_end|>", true)], prefix: "always", replacing: [2: "<|im_end|>"])
    let both = try read(["tokenizer.model": Self.model(), "tokenizer.json": Array(json.utf8)])
    #expect(both.tokens[2] == "<|im_end|>" && both.notes.count == 1)
    let normal = #"{"added_tokens_decoder":{"261":{"content":"<|im_end|>","special":true}}}"#
    let text = refusal(["tokenizer.model": Self.model(), "tokenizer_config.json": Array(normal.utf8)])
    #expect(text.contains(#"token "<|im_end|>": has id 261, as has "b" in tokenizer.model"#))
  }

  @Test func twoVocabulariesAreRefused() throws {
    for json in [
      try Self.json(replacing: [261: "c"]), try Self.json(more: ["abc"]), AddedTokensTests.json(),
      try Self.json(leavingOut: [263]),
    ] {
      let text = refusal(["tokenizer.model": Self.model(), "tokenizer.json": Array(json.utf8)])
      #expect(text.contains("tokenizer.model: differs from tokenizer.json: id "), "\(text)")
      #expect(text.contains("remove the file that the model was not trained with"))
    }
  }

  static let structures = [
    (#"{"type":"NFKC"}"#, "first", "normalizer NFKC"), (#"{"type":"Precompiled"}"#, "first", "Precompiled"),
    (#"{"type":"Lowercase"}"#, "", "Lowercase"), ("null", "", "no pre_tokenizer"), ("null", "last", "Metaspace"),
    (#"{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}"#, "first", "Replace"),
  ]

  @Test(arguments: structures) func structuresThatLlamaLacks(normalizer: String, prefix: String, part: String) throws {
    let text = refusal(["tokenizer.json": Array(try Self.json(prefix: prefix, normalizer: normalizer).utf8)])
    #expect(text.contains("has a structure that llama.cpp's SentencePiece lacks") && text.contains(part), "\(text)")
  }

  // MARK: tokenizer.model alone

  static let normalizers: [(normalizer: [UInt8], trainer: [UInt8], part: String)] = [
    ([0x0A, 4] + Array("nfkc".utf8) + [0x12, 1, 0], [], "changes text by the rule nfkc"),
    ([4 << 3, 1], [], "removes extra blanks"), ([5 << 3, 0], [], "escape_whitespaces is false"),
    ([], [0xC0, 1, 1], "treat_whitespace_as_suffix"), ([], [0x98, 2, 0], "byte_fallback: is false"),
  ]

  @Test(arguments: normalizers) func settingsThatLlamaLacks(normalizer: [UInt8], trainer: [UInt8], part: String) throws
  {
    let model = Self.model(trainer: trainer, normalizer: normalizer)
    let text = refusal(["tokenizer.model": model])
    #expect(text.contains("tokenizer.model: key ") && text.contains(part), "\(text)")
    // If a tokenizer.json without such a step exists, `transformers` ignores the setting.
    let json = Array(try Self.json(prefix: "always").utf8)
    #expect(try read(["tokenizer.model": model, "tokenizer.json": json]).tokens[263] == "ab")
  }

  @Test func settingsThatChangeNothing() throws {
    // A name without a rule, and a suffix without a blank.
    let model = Self.model(trainer: [0xC0, 1, 1], normalizer: [0x0A, 4] + Array("nfkc".utf8) + [3 << 3, 0])
    #expect(try ids("ab", try read(["tokenizer.model": model]).metadata) == [263])
  }

  @Test func theBlankIsAddedOnlyToTextsIfLegacyIsFalse() throws {
    let files = ["tokenizer.model": Self.model(), "added_tokens.json": Array(#"{"<|x|>":264}"#.utf8)]
    func first(_ config: String) throws -> [Int32] {
      try ids("a<|x|>a", try read(files.merging(["tokenizer_config.json": Array(config.utf8)]) { $1 }).metadata)
    }
    #expect(try first(#"{"legacy":false}"#) == [262, 264, 260])
    #expect(try first(#"{"legacy":true}"#) == [262, 264, 262])
    #expect(try first(#"{"legacy":false,"add_prefix_space":false}"#) == [260, 264, 260])
  }

  @Test func userDefinedPieces() throws {
    let more = [Piece(text: "<|im_start|>", type: 4), Piece(text: "\u{2581}\u{2581}", type: 4)]
    let without = try read(["tokenizer.model": Self.model(more, normalizer: [3 << 3, 0])])
    #expect(without.tokens[264...265] == ["<|im_start|>", "  "] && without.types[264...265] == [4, 4])
    #expect(try ids("<|im_start|>ab  b", without.metadata) == [264, 263, 265, 261])
    let text = refusal(["tokenizer.model": Self.model(more)])
    #expect(text.contains(#"piece "<|im_start|>": is user-defined: llama.cpp adds a blank after it"#))
    // A single character that is in no other piece is never merged, so llama.cpp need not search for it.
    let digit = try read(["tokenizer.model": Self.model([Piece(text: "7", type: 4)])])
    #expect(digit.types[264] == 1)
    #expect(try ids("ab7a", digit.metadata) == [262, 261, 264, 260])
    let joined = [Piece(text: "7", type: 4), Piece(text: "a7")]
    #expect(refusal(["tokenizer.model": Self.model(joined)]).contains(#"piece "7": is user-defined"#))
  }

  @Test func unusedPiecesThatMergingGives() throws {
    let made = refusal(["tokenizer.model": Self.model([Piece(text: "abb", type: 5)])])
    #expect(made.contains(#"piece "abb": is unused: SentencePiece splits it again"#))
    #expect(try read(["tokenizer.model": Self.model([Piece(text: "xyz", type: 5)])]).types[264] == 5)
  }

  @Test func bytesMustBeComplete() throws {
    let text = refusal(["tokenizer.model": Self.model(replacing: [200: Piece(text: "q")])])
    #expect(text.contains("token <0xC5>: is missing"))
  }

  /// llama.cpp has default ids for missing ones.
  @Test func beginningsThatAreNamedOrMissing() throws {
    func keys(_ config: String, _ values: String) throws -> Metadata {
      try read(
        ["tokenizer.model": Self.model(), "tokenizer_config.json": Array(config.utf8)],
        config: #"{"vocab_size":272\#(values)}"#
      ).metadata
    }
    let named = try keys(#"{"bos_token":"</s>"}"#, "")
    #expect(named.optionalInt("tokenizer.ggml.bos_token_id") == 2)
    #expect(try keys(#"{"bos_token":"<s>"}"#, "")["tokenizer.ggml.bos_token_id"] == nil)
    let none = try keys(#"{"add_bos_token":true}"#, #","bos_token_id":-1"#)
    #expect(none.optionalBool("tokenizer.ggml.add_bos_token") == false)
    #expect(try Tokenizer(metadata: none).encode("ab") == [262, 261])
  }
}
