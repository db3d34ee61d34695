import Checkpoint
import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// Damaged tokenizers and unknown kinds give errors that name the file and the position.
@Suite struct TokenizerBadInputTests {
  static let json = """
    {"added_tokens":[{"id":2,"content":"<e>","special":true}],"normalizer":null,\
    "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},"post_processor":null,\
    "decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":3},"merges":["a b"]}}
    """

  private func metadata(_ files: [String: [UInt8]], config: String = #"{"vocab_size":5}"#) throws -> Metadata {
    let directory = try TemporaryDirectory()
    try Data(config.utf8).write(to: directory.url.appending(path: "config.json"))
    for (name, bytes) in files { try Data(bytes).write(to: directory.url.appending(path: name)) }
    return try tokenizerMetadata(directory: directory.url.path, architecture: "llama")
  }

  private func expect(
    _ files: [String: [UInt8]], config: String = #"{"vocab_size":5}"#, kind: FormatError.Kind = .data,
    _ parts: [String], location: SourceLocation = #_sourceLocation
  ) {
    let error = #expect(throws: FormatError.self, sourceLocation: location) {
      try metadata(files, config: config)
    }
    #expect(error?.kind == kind, sourceLocation: location)
    let text = (error?.description ?? "") + " | " + (error?.hint ?? "")
    for part in parts { #expect(text.contains(part), "\(text)", sourceLocation: location) }
    #expect(!text.contains("\n"), sourceLocation: location)
  }

  @Test func theValidTokenizerIsRead() throws {
    let metadata = try metadata(["tokenizer.json": Array(Self.json.utf8)])
    #expect(metadata.optionalStrings("tokenizer.ggml.tokens") == ["a", "b", "<e>", "ab", "[PAD4]"])
    #expect(metadata["tokenizer.ggml.token_type"] == .array(.int32([1, 1, 3, 1, 5])))
    #expect(metadata.optionalStrings("tokenizer.ggml.merges") == ["a b"])
    #expect(metadata.optionalString("tokenizer.ggml.pre") == "gpt-2")
  }

  static let changes: [(String, String, [String])] = [
    (#""a":0"#, #""a":-1"#, [#"token "a": has no valid id"#]),
    (#""a":0"#, #""a":99999999999"#, [#"token "a": has no valid id"#]),
    (#""a":0"#, #""a":"x""#, [#"token "a": has no valid id"#]),
    (#""a":0"#, #""a":1"#, [#"token "b": has id 1, as has "a""#]),
    (#""b":1"#, #""a":1"#, [#"token "a": appears twice, with ids 0 and 1"#]),
    (#""ab":3"#, #""ab":5"#, [#"token "ab": has id 5; config.json gives a vocabulary of 5"#]),
    ("<e>", "a", [#""a": appears twice"#]),
    (#""id":2"#, #""id":1"#, [#"token "<e>": has id 1, as has "b""#]),
    (#""id":2,"#, "", ["key added_tokens: holds an entry without content or a valid id"]),
    (#"[{"id":2,"content":"<e>","special":true}]"#, "7", ["key added_tokens: is not an array"]),
    ("a b", "a c", [#"merge number 0: needs "c", which is not a token"#]),
    ("a b", "b a", [#"merge number 0: needs "ba", which is not a token"#]),
    (#"["a b"]"#, #"[["a","b","a"]]"#, ["merge number 0: is not a pair of tokens"]),
    (#"["a b"]"#, "[7]", ["merge number 0: is not a pair of tokens"]),
    (
      #""BPE""#, #""Unigram""#,
      ["key model: is of an unknown kind: Unigram, 3 tokens, ByteLevel", "known: byte-level BPE"]
    ),
    (#""BPE""#, #""WordPiece""#, ["unknown kind: WordPiece"]),
    (#""BPE""#, #""BPE","end_of_word_suffix":"</w>""#, ["key model: is of an unknown kind: BPE"]),
    (#"{"type":"BPE","vocab":{"a":0,"b":1,"ab":3},"merges":["a b"]}"#, "null", ["unknown kind: no kind"]),
    (#""add_prefix_space":false"#, #""add_prefix_space":true"#, ["unknown structure: ByteLevel add_prefix_space true"]),
    (#""normalizer":null"#, #""normalizer":{"type":"NFKC"}"#, ["unknown structure: normalizer NFKC, ByteLevel"]),
    (#"{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}"#, "null", ["no pre_tokenizer", "known: "]),
    ("<e>", #"\\ud800"#, ["is not valid JSON: half a surrogate pair"]),
    ("<e>", #"\\ud800\\u0041"#, ["is not valid JSON: half a surrogate pair"]),
    ("<e>", #"\\uD8"#, ["is not valid JSON: an escape without four"]), ("<e>", #"\\x"#, ["an unknown escape"]),
    ("<e>", "\u{1}", ["a string holds a control character"]), ("null", "nul", ["an unknown word"]),
    (#""id":2"#, #""id":+2"#, ["an unknown word"]), (#""id":2"#, #""id":0x2"#, ["an unknown word"]),
    (#""id":2,"#, #""id":2"#, ["a comma or } is missing"]), (#"["a b"]}}"#, #"["a b"]}}}"#, ["something follows"]),
  ]

  @Test(arguments: changes) func damagedJSON(old: String, new: String, parts: [String]) {
    #expect(Self.json.contains(old))
    let new = new.replacing(#"\\"#, with: #"\"#)
    expect(["tokenizer.json": Array(Self.json.replacing(old, with: new).utf8)], ["tokenizer.json"] + parts)
  }

  @Test func jsonThatEndsAnywhere() {
    let bytes = Array(Self.json.utf8)
    for count in 0..<bytes.count { expect(["tokenizer.json": Array(bytes[..<count])], ["tokenizer.json"]) }
  }

  @Test func bytesThatAreNotUTF8() {
    var bytes = Array(Self.json.utf8)
    bytes[bytes.firstIndex(of: UInt8(ascii: "<"))!] = 0xFF
    expect(["tokenizer.json": bytes], ["at byte", "a string is not UTF-8"])
  }

  /// A parser that recursed as deep as the file asks would overflow its stack.
  @Test(arguments: ["[", #"{"a":"#]) func nestingIsBounded(opening: String) {
    let deep = Array(String(repeating: opening, count: 1_000_000).utf8)
    expect(["tokenizer.json": Array(#"{"version":"#.utf8) + deep], ["tokenizer.json", "nests deeper than"])
    let sound = Array(Self.json.utf8)
    expect(["tokenizer.json": sound, "tokenizer_config.json": deep], ["tokenizer_config.json"])
    expect(["tokenizer.json": sound], config: String(decoding: deep, as: UTF8.self), ["config.json"])
  }

  @Test func impossibleSizes() {
    let sound = Array(Self.json.utf8)
    expect(["tokenizer.json": sound], config: #"{"vocab_size":1073741824}"#, ["config.json: key vocab_size"])
    let far = Array(Self.json.replacing(#""ab":3"#, with: #""ab":2147483647"#).utf8)
    expect(["tokenizer.json": far], config: "{}", ["gives a token the id 2147483647"])
    expect(["tokenizer.json": sound], config: #"{"vocab_size":5,"eos_token_id":9}"#, ["key eos_token_id: is 9"])
    expect(["tokenizer.json": sound], config: #"{"vocab_size":5,"eos_token_id":-2}"#, ["key eos_token_id: is -2"])
  }

  @Test func filesBeside() {
    let sound = Array(Self.json.utf8)
    expect(
      ["tokenizer.json": sound, "tokenizer_config.json": Array("[]".utf8)],
      ["tokenizer_config.json: is not a JSON object"]
    )
    expect(
      ["tokenizer.json": sound, "tokenizer_config.json": Array(#"{"added_tokens_decoder":{"x":{}}}"#.utf8)],
      ["tokenizer_config.json: key added_tokens_decoder: holds an entry \"x\""])
    expect([:], kind: .missing, ["tokenizer.json: is missing"])
    expect(["tekken.json": sound], ["tekken.json: key config.default_num_special_tokens: is missing"])
  }

  // MARK: tokenizer.model

  static func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
    [number << 3 | 2, UInt8(bytes.count)] + bytes
  }

  static func piece(_ text: String, _ score: Float, type: UInt8? = nil) -> [UInt8] {
    let bits = (0..<4).map { UInt8(truncatingIfNeeded: score.bitPattern >> UInt32(8 * $0)) }
    return field(1, field(1, Array(text.utf8)) + [2 << 3 | 5] + bits + (type.map { [3 << 3, $0] } ?? []))
  }

  /// byte-pair encoding with byte_fallback, and a normalizer that does not change text.
  static let trainer = field(2, [3 << 3, 2, 0x98, 2, 1])
  static let model =
    piece("<unk>", 0, type: 2) + piece("<s>", 0, type: 3)
    + (0..<256).flatMap {
      piece("<0x" + ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) + ">", 0, type: 6)
    }
    + piece("a", -1) + trainer + field(3, [3 << 3, 0, 4 << 3, 0])

  @Test func theValidModelIsRead() throws {
    let metadata = try metadata(["tokenizer.model": Self.model], config: #"{"vocab_size":260}"#)
    let tokens = try #require(metadata.optionalStrings("tokenizer.ggml.tokens"))
    #expect(tokens.prefix(3) == ["<unk>", "<s>", "<0x00>"] && tokens.suffix(3) == ["<0xFF>", "a", "[PAD259]"])
    let bytes = [Int32](repeating: 6, count: 256)
    #expect(metadata["tokenizer.ggml.token_type"] == .array(.int32([2, 3] + bytes + [1, 5])))
    let zeros = [Float](repeating: 0, count: 258)
    #expect(metadata["tokenizer.ggml.scores"] == .array(.float32(zeros + [-1, -10000])))
    #expect(metadata.optionalBool("tokenizer.ggml.add_space_prefix") == false)
  }

  @Test func damagedModels() {
    func expectModel(_ bytes: [UInt8], _ part: String) {
      expect(["tokenizer.model": bytes], ["tokenizer.model", part])
    }
    expectModel([], "without pieces")
    expectModel(Self.trainer, "without pieces")
    expectModel(
      Self.piece("a", 0) + Self.field(2, [3 << 3, 1]), "trainer_spec.model_type: is of an unknown kind: unigram")
    expectModel(Self.piece("a", .nan), "piece number 0: is empty or lacks a finite score")
    expectModel(Self.piece("", 0), "piece number 0: is empty")
    expectModel(Self.piece("a", 0, type: 9), "piece number 0: has the unknown type 9")
    expectModel(Self.piece("a", 0), "trainer_spec.model_type: is of an unknown kind: unigram")
    expectModel(Self.piece("a", 0) + Self.piece("a", 0) + Self.trainer, "\"a\": appears twice, with ids 0 and 1")
    expectModel(Self.field(1, Self.field(1, [0xFF])), "piece number 0: is not UTF-8")
    expectModel([1 << 3, 7], "field 1 is not a message")
    expectModel([1 << 3 | 2] + [UInt8](repeating: 0xFF, count: 9) + [1], "or is damaged")
    expectModel([UInt8](repeating: 0xFF, count: 40), "or is damaged")
    expectModel(Array("{\"not\": 1}".utf8), "or is damaged")
  }

  /// Any bytes give keys or a typed error.
  @Test func anyBytesAreKeysOrAnError() throws {
    var random = SplitMix(seed: 11)
    var failures = 0
    for round in 0..<600 {
      let isModel = round % 2 == 0
      var bytes = isModel ? Self.model : Array(Self.json.utf8)
      for _ in 0..<1 + Int(random.next() % 3) {
        bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
      }
      if random.next() % 4 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count))) }
      do {
        _ = try metadata([isModel ? "tokenizer.model" : "tokenizer.json": bytes])
      } catch is FormatError {
        failures += 1
      }
    }
    #expect(failures > 200)
  }
}
