import Checkpoint
import Files
import Foundation
import GGUF
import TestSupport
import Testing
import Tokenizers

/// Tokens added to a byte-level vocabulary: all files are read by one rule, and the tokens are kept unchanged.
@Suite struct AddedTokensTests {
  /// The 256 bytes, and `added`. The vocabulary of config.json has eight more ids.
  static func json(added: String = "", model: String = #""type":"BPE","#, normalizer: String = "null") -> String {
    """
    {"added_tokens":[\(added)],"normalizer":\(normalizer),\
    "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},"post_processor":null,\
    "decoder":{"type":"ByteLevel"},"model":{\(model)"vocab":\(vocabulary),"merges":["a b"]}}
    """
  }

  /// The byte alphabet in the order of bytes, then "ab".
  static let vocabulary: String = {
    var next: UInt32 = 0x100
    let letters = (0..<256 as Range<UInt32>).map { byte -> String in
      let isPrintable = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
      if !isPrintable { next += 1 }
      return String(Character(Unicode.Scalar(isPrintable ? byte : next - 1)!))
    }
    let entries = (letters + ["ab"]).enumerated().map { id, token in
      "\"\(token == "\"" || token == "\\" ? "\\" + token : token)\":\(id)"
    }
    return "{" + entries.joined(separator: ",") + "}"
  }()

  static func token(_ content: String, _ id: Int? = nil, special: Bool = true, more: String = "") -> String {
    let id = id.map { #""id":\#($0),"# } ?? ""
    return #"{\#(id)"content":"\#(content)","special":\#(special),"normalized":false\#(more)}"#
  }

  private func directory(_ files: [String: String], config: String) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    let all = files.merging(["config.json": config]) { $1 }
    for (name, text) in all {
      try text.write(to: directory.url.appending(path: name), atomically: true, encoding: .utf8)
    }
    return directory
  }

  private func read(
    _ files: [String: String], config: String = #"{"vocab_size":264}"#, pre: String? = nil
  ) throws -> (tokens: [String], types: [Int32], metadata: Metadata, notes: [String]) {
    let directory = try directory(files, config: config)
    let metadata = try tokenizerMetadata(directory: directory.url.path, architecture: "llama", pre: pre)
    guard case .array(.int32(let types)) = metadata["tokenizer.ggml.token_type"] else { return ([], [], metadata, []) }
    let notes = pre == nil ? try tokenizerNotes(directory: directory.url.path, architecture: "llama") : []
    return (metadata.optionalStrings("tokenizer.ggml.tokens") ?? [], types, metadata, notes)
  }

  private func ids(_ text: String, _ metadata: Metadata) throws -> [Int32] {
    try Tokenizer(metadata: metadata).encode(text, addSpecial: false, parseSpecial: true)
  }

  static let sources: [(file: String, text: String)] = [
    ("tokenizer.json", json(added: token("<t>", 257))),
    ("tokenizer_config.json", #"{"added_tokens_decoder":{"257":\#(token("<t>"))}}"#),
    ("added_tokens.json", #"{"<t>":257}"#), ("tokenizer_config.json", #"{"additional_special_tokens":["<t>"]}"#),
    ("tokenizer_config.json", #"{"extra_special_tokens":[\#(token("<t>"))]}"#),
    ("tokenizer_config.json", #"{"extra_special_tokens":{"tool_token":"<t>"}}"#),
    ("tokenizer_config.json", #"{"tool_token":"<t>"}"#), ("tokenizer_config.json", #"{"pad_token":"<t>"}"#),
    ("tokenizer_config.json", #"{"pad_token":\#(token("<t>"))}"#), ("special_tokens_map.json", #"{"pad_token":"<t>"}"#),
    ("special_tokens_map.json", #"{"additional_special_tokens":[\#(token("<t>"))]}"#),
  ]

  @Test(arguments: sources) func everyFileAddsTokens(file: String, text: String) throws {
    let result = try read(["tokenizer.json": Self.json()].merging([file: text]) { $1 })
    #expect(result.tokens[256...258] == ["ab", "<t>", "[PAD258]"])
    #expect(result.types[256...258] == [1, file == "added_tokens.json" ? 4 : 3, 5])
    #expect(try ids("ab<t>", result.metadata) == [256, 257])
    // A token without an id gives a note.
    let isNamed = !text.contains("257")
    #expect(result.notes.count == (isNamed ? 1 : 0))
    if isNamed { #expect(result.notes[0].contains(#"\#(file): no file gives token "<t>" an id; it gets 257"#)) }
  }

  @Test func namesFollowInTheOrderOfTransformers() throws {
    let config =
      #"{"additional_special_tokens":["<z>"],"pad_token":"<p>","boi_token":"<i>","unk_token":"<u>","bos_token":"<b>"}"#
    let result = try read([
      "tokenizer.json": Self.json(), "tokenizer_config.json": config, "added_tokens.json": #"{"<a>":257}"#,
    ])
    #expect(result.tokens[257...262] == ["<a>", "<b>", "<u>", "<p>", "<i>", "<z>"])
    #expect(result.metadata.optionalInt("tokenizer.ggml.bos_token_id") == 258)
  }

  /// `added_tokens_decoder` decides on flags, and special names are special.
  @Test func flagsAndNamesDecideTheType() throws {
    let json = Self.json(added: (257...259).map { (id: Int) in Self.token("<\(id)>", id) }.joined(separator: ","))
    let config = """
      {"added_tokens_decoder":{"257":\(Self.token("<257>", special: false)),"258":\(Self.token("<258>", special: false))},\
      "pad_token":"<258>","additional_special_tokens":["<257>"]}
      """
    #expect(try read(["tokenizer.json": json, "tokenizer_config.json": config]).types[257...259] == [4, 3, 3])
    // added_tokens.json has no flags: a named token is special.
    let named = [
      "tokenizer.json": Self.json(), "added_tokens.json": #"{"<x>":257,"<y>":258}"#,
      "tokenizer_config.json": #"{"additional_special_tokens":["<y>"]}"#,
    ]
    #expect(try read(named).types[257...258] == [4, 3])
  }

  @Test func contradictionsOfLaterFilesAreNoted() throws {
    let result = try read([
      "tokenizer.json": Self.json(added: Self.token("<t>", 257)),
      "tokenizer_config.json": #"{"added_tokens_decoder":{"258":\#(Self.token("<t>"))}}"#,
      "added_tokens.json": #"{"<u>":257,"<v>":258}"#,
      // Not read beside added_tokens_decoder, as in transformers.
      "special_tokens_map.json": #"{"pad_token":"<w>"}"#,
    ])
    #expect(result.tokens[257...259] == ["<t>", "<v>", "[PAD259]"])
    #expect(result.notes.count == 3)
    #expect(result.notes[2].contains(#"token "<v>" is in no other file; it is kept with id 258"#))
    #expect(result.notes[0].contains(#"token "<t>" has id 258, but 257 in tokenizer.json, which is used"#))
    #expect(result.notes[1].contains(#"token "<u>" has id 257, as has "<t>" in tokenizer.json"#))
  }

  static let contradictions: [(String, String, String)] = [
    (
      #"{"added_tokens_decoder":{"257":\#(token("<u>"))}}"#, "tokenizer_config.json", #"as has "<t>" in tokenizer.json"#
    ),
    (#"{"added_tokens_decoder":{"256":\#(token("<u>"))}}"#, "tokenizer_config.json", #"as has "ab" in tokenizer.json"#),
    (
      #"{"added_tokens_decoder":{"258":\#(token("<u>")),"259":\#(token("<u>"))}}"#, "tokenizer_config.json",
      "appears twice, with ids 258 and 259"
    ),
    (#"{"<u>":257}"#, "added_tokens.json", #"token "<u>": has id 257, as has "<t>" in tokenizer.json"#),
  ]

  @Test(arguments: contradictions) func twoTokensForOneIDAreRefused(text: String, file: String, reason: String) throws {
    let error = #expect(throws: FormatError.self) {
      try read(["tokenizer.json": Self.json(added: Self.token("<t>", 257)), file: text])
    }
    #expect(error?.description.contains("\(file): token") == true, "\(error as Any)")
    #expect(error?.description.contains(reason) == true, "\(error as Any)")
  }

  @Test func holesAndIDsBeyondTheVocabulary() throws {
    let added = [Self.token("<t>", 259), Self.token("<far>", 264)].joined(separator: ",")
    let result = try read(["tokenizer.json": Self.json(added: added)])
    #expect(
      result.tokens[256...] == ["ab", "[PAD257]", "[PAD258]", "<t>", "[PAD260]", "[PAD261]", "[PAD262]", "[PAD263]"])
    #expect(result.notes.count == 2)
    #expect(result.notes[0].contains(#"token "<t>" has id 259, which is kept; `transformers` would number it 257"#))
    #expect(
      result.notes[1].contains(#"token "<far>" is left out: its id 264 is beyond config.json's vocabulary of 264"#))
  }

  /// Byte-level vocabularies represent bytes by the letters U+00A1 to U+0143.
  @Test func lettersOfTheByteAlphabetAreKept() throws {
    let contents = ["<|syst\u{E8}me|>", "<|pi\u{119}\u{107}|>", "<\u{E9}>", "<\u{E8}>", "\u{A3}\u{B0}", "a\u{2581}b"]
    let added = contents.enumerated().map { Self.token($1, 257 + $0, special: $0 < 2) }.joined(separator: ",")
    let result = try read(["tokenizer.json": Self.json(added: added)])
    #expect(result.tokens[257...262].elementsEqual(contents) { $0.utf8.elementsEqual($1.utf8) })
    #expect(result.types[257...262] == [3, 3, 4, 4, 4, 4])
    #expect(try ids(contents.joined(), result.metadata) == Array(257...262))
    let tokenizer = try Tokenizer(metadata: result.metadata)
    for (index, content) in contents.enumerated() {
      #expect(tokenizer.piece(Int32(257 + index)) == Array(content.utf8))
    }
  }

  @Test func flagsThatAGGUFLacksAreNoted() throws {
    for flag in ["lstrip", "rstrip", "single_word"] {
      let added = Self.token("<t>", 257, more: #","\#(flag)":true"#)
      let notes = try read(["tokenizer.json": Self.json(added: added)]).notes
      #expect(notes.count == 1 && notes[0].contains(#"no lstrip, rstrip and single_word; it finds "<t>" anywhere"#))
    }
    let decomposed = #"{"id":257,"content":"e\u0301","special":false,"normalized":true}"#
    let result = try read(["tokenizer.json": Self.json(added: decomposed, normalizer: #"{"type":"NFC"}"#)])
    #expect(result.tokens[257].utf8.elementsEqual("e\u{301}".utf8))
    #expect(result.notes.count == 1 && result.notes[0].contains("is not composed (NFC)"))
  }

  /// Files of `tokenizers` before 0.9 do not name the model's kind.
  @Test func theKindIsInferredFromTheFields() throws {
    #expect(try read(["tokenizer.json": Self.json(model: "")]).tokens[256] == "ab")
    let others = [
      (#""unk_token":"?","continuing_subword_prefix":"a","max_input_chars_per_word":9,"vocab":{"a":0}"#, "WordPiece"),
      (#""unk_id":0,"vocab":[["a",0]]"#, "Unigram"), (#""unk_token":"a","vocab":{"a":0}"#, "WordLevel"),
    ]
    for (model, kind) in others {
      let error = #expect(throws: FormatError.self) { try read(["tokenizer.json": #"{"model":{\#(model)}}"#]) }
      #expect(error?.description.contains("is of an unknown kind: \(kind)") == true)
    }
  }

  @Test(arguments: ["-1", "null"]) func negativeIDsAreNone(none: String) throws {
    let ids = ["bos", "eos", "pad", "unk", "sep"].map { #""\#($0)_token_id":\#(none)"# }.joined(separator: ",")
    let metadata = try read(["tokenizer.json": Self.json()], config: #"{"vocab_size":257,\#(ids)}"#).metadata
    #expect(metadata.keys.filter { $0.hasSuffix("_token_id") } == [])
    #expect(try Tokenizer(metadata: metadata).encode("ab") == [256])
  }

  // MARK: vocab.json and merges.txt

  private func separate(
    _ config: String, merges: String = "#version: 0.2\na b\n", pre: String? = nil, other: [String: String] = [:]
  ) throws -> Metadata {
    let files = ["vocab.json": Self.vocabulary, "merges.txt": merges, "tokenizer_config.json": config]
    return try read(files.merging(other) { $1 }, pre: pre).metadata
  }

  @Test func vocabularyAndMergesAreATokenizer() throws {
    let gpt2 = try separate(#"{"tokenizer_class":"GPT2TokenizerFast","eos_token":"<e>"}"#)
    #expect(gpt2.optionalString("tokenizer.ggml.pre") == "gpt-2")
    #expect(gpt2.optionalStrings("tokenizer.ggml.merges") == ["a b"])
    #expect(gpt2["tokenizer.ggml.normalizer.nfc"] == nil)
    #expect(gpt2.optionalInt("tokenizer.ggml.eos_token_id") == 258)
    // The class names the other tokens. They follow in its order.
    #expect(gpt2.optionalStrings("tokenizer.ggml.tokens")?[256...258] == ["ab", "<|endoftext|>", "<e>"])
    #expect(
      try separate(#"{"tokenizer_class":"GPTNeoXTokenizer"}"#).optionalBool("tokenizer.ggml.normalizer.nfc") == true)
    let qwen = try separate(
      #"{"tokenizer_class":"Qwen2Tokenizer"}"#, other: ["added_tokens.json": #"{"<|im_end|>":257}"#])
    #expect(qwen.optionalString("tokenizer.ggml.pre") == "qwen2")
    #expect(qwen.optionalStrings("tokenizer.ggml.tokens")?[257...258] == ["<|im_end|>", "<|endoftext|>"])
    #expect(try ids("ab<|im_end|>", qwen) == [256, 257])
    let implied = try read(
      ["vocab.json": Self.vocabulary, "merges.txt": "a b"], config: #"{"vocab_size":264,"model_type":"qwen3"}"#)
    #expect(implied.metadata.optionalString("tokenizer.ggml.pre") == "qwen2")
  }

  @Test(arguments: ["#version: 0.2\r\na b\r\n", "a b", "a b\r\n", "# made by hand\na b\n"])
  func mergesOfAnySystem(merges: String) throws {
    let metadata = try separate(#"{"tokenizer_class":"GPT2Tokenizer"}"#, merges: merges)
    #expect(metadata.optionalStrings("tokenizer.ggml.merges") == ["a b"])
  }

  @Test func aClassWithoutASplitterIsRefused() throws {
    for config in [#"{"tokenizer_class":"LlamaTokenizer"}"#, "{}"] {
      let error = #expect(throws: FormatError.self) { try separate(config) }
      #expect(error?.description.contains("vocab.json: does not say how text is split") == true)
      #expect(error?.topic == .unknownSplitter)
      #expect(try separate(config, pre: "qwen2").optionalString("tokenizer.ggml.pre") == "qwen2")
    }
    let gpt2 = #"{"tokenizer_class":"GPT2Tokenizer"}"#
    for (merges, reason) in [("a b\na b c\n", "line 2: is not a pair"), ("a c\na bb\n", #"number 0: needs "ac""#)] {
      let error = #expect(throws: FormatError.self) { try separate(gpt2, merges: merges) }
      #expect(error?.description.contains("merges.txt: ") == true)
      #expect(error?.description.contains(reason) == true, "\(error as Any)")
    }
    let prefix = #"{"tokenizer_class":"GPT2Tokenizer","add_prefix_space":true}"#
    #expect(throws: FormatError.self) { try separate(prefix) }
  }
}
