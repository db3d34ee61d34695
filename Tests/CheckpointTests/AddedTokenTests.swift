import Checkpoint
import Foundation
import GGUF
import TestSupport
import Testing

/// Tokens that a directory's files add to a vocabulary, and the forms that a tokenizer may have.
@Suite struct AddedTokenTests {
  private typealias Read = (metadata: Metadata, notes: [String])

  private func read(_ files: [String: String], model: [UInt8]? = nil, vocabulary: Int) throws -> Read {
    let directory = try TemporaryDirectory()
    var files = files
    files["config.json"] = #"{"vocab_size":\#(vocabulary),"model_type":"qwen2"}"#
    for (name, text) in files { try Data(text.utf8).write(to: directory.url.appending(path: name)) }
    if let model { try Data(model).write(to: directory.url.appending(path: "tokenizer.model")) }
    let path = directory.url.path
    return (
      try tokenizerMetadata(directory: path, architecture: "llama"),
      try tokenizerNotes(directory: path, architecture: "llama")
    )
  }

  private func tokens(_ metadata: Metadata) -> [String] { metadata.optionalStrings("tokenizer.ggml.tokens") ?? [] }

  private let sound = TokenizerBadInputTests.json

  /// Whatever file alone has a token, the token is in the vocabulary, with the next id where the file gives none.
  @Test(arguments: [
    ("tokenizer_config.json", #"{"added_tokens_decoder":{"4":{"content":"<|t|>","special":true}}}"#),
    ("added_tokens.json", #"{"<|t|>":4}"#),
    ("tokenizer_config.json", #"{"additional_special_tokens":["<|t|>"]}"#),
    ("tokenizer_config.json", #"{"pad_token":"<|t|>"}"#),
    ("special_tokens_map.json", #"{"additional_special_tokens":[{"content":"<|t|>"}]}"#),
  ])
  func tokensOfEveryFile(name: String, text: String) throws {
    let result = try read(["tokenizer.json": sound, name: text], vocabulary: 6)
    #expect(tokens(result.metadata) == ["a", "b", "<e>", "ab", "<|t|>", "[PAD5]"])
    #expect(result.metadata["tokenizer.ggml.token_type"] == .array(.int32([1, 1, 3, 1, 3, 5])))
  }

  /// A token of added_tokens.json that added_tokens_decoder lacks is kept, and said.
  @Test func tokensThatOneFileLacks() throws {
    let decoder = #"{"added_tokens_decoder":{"2":{"content":"<e>","special":true}}}"#
    let files = ["tokenizer.json": sound, "tokenizer_config.json": decoder, "added_tokens.json": #"{"<x>":4}"#]
    let result = try read(files, vocabulary: 5)
    #expect(tokens(result.metadata)[4] == "<x>")
    #expect(result.notes.contains { $0.contains(#""<x>" is in no other file"#) }, "\(result.notes)")
  }

  @Test func contradictionsAreRefused() throws {
    let other = #"{"added_tokens_decoder":{"2":{"content":"<f>","special":true}}}"#
    let error = #expect(throws: CheckpointError.self) {
      _ = try read(["tokenizer.json": sound, "tokenizer_config.json": other], vocabulary: 5)
    }
    #expect(
      error?.description.contains(#"token "<f>": has id 2, as has "<e>""#) == true, "\(String(describing: error))")
  }

  /// Letters of the byte alphabet are letters in a token that is looked for in text.
  @Test(arguments: ["<|système|>", "<|pięć|>", "<|größe|>", "<é>", "£", "°"])
  func lettersStayAsTheyAre(_ content: String) throws {
    let json = sound.replacing(#""content":"<e>""#, with: #""content":"\#(content)","normalized":false"#)
    #expect(tokens(try read(["tokenizer.json": json], vocabulary: 5).metadata)[2] == content)
  }

  /// Files of `tokenizers` before 0.9 do not name the model's kind.
  @Test func kindByTheFields() throws {
    let old = sound.replacing(#""type":"BPE","#, with: "")
    #expect(
      try read(["tokenizer.json": old], vocabulary: 5).metadata
        == read(["tokenizer.json": sound], vocabulary: 5).metadata)
  }

  /// vocab.json with merges.txt; the class of the tokenizer says how text is split.
  @Test(arguments: ["\n", "\r\n"])
  func vocabularyAndMerges(lineEnd: String) throws {
    let files = [
      "vocab.json": #"{"a":0,"b":1,"ab":2}"#, "merges.txt": "#version: 0.2\(lineEnd)a b\(lineEnd)",
      "tokenizer_config.json": #"{"tokenizer_class":"Qwen2Tokenizer"}"#, "added_tokens.json": #"{"<|endoftext|>":3}"#,
    ]
    let metadata = try read(files, vocabulary: 4).metadata
    #expect(tokens(metadata) == ["a", "b", "ab", "<|endoftext|>"])
    #expect(metadata.optionalStrings("tokenizer.ggml.merges") == ["a b"])
    #expect(metadata.optionalString("tokenizer.ggml.pre") == "qwen2")
  }

  // MARK: SentencePiece

  /// A model of byte-pair encoding with all byte tokens and two pieces; ids 259 and 260.
  private func sentencePiece(trainer: [UInt8] = [], normalizer: [UInt8] = [0x20, 0], piece: UInt8 = 1) -> [UInt8] {
    let byteTokens = (0..<256).map { (String(format: "<0x%02X>", $0), UInt8(6)) }
    var bytes: [UInt8] = []
    let last = piece == 1 ? "b" : "<|x|>"
    for (text, kind) in [("<unk>", 2), ("<s>", 3), ("</s>", 3)] + byteTokens + [("\u{2581}a", 1), (last, piece)] {
      var message: [UInt8] = [0x0A, UInt8(text.utf8.count)] + Array(text.utf8)
      message += [0x15, 0, 0, 0, 0xC0, 0x18, kind]
      bytes += [0x0A, UInt8(message.count)] + message
    }
    let specification: [UInt8] = [0x18, 2, 0x98, 2, 1] + trainer
    bytes += [0x12, UInt8(specification.count)] + specification
    return bytes + [0x1A, UInt8(normalizer.count)] + normalizer
  }

  /// tokenizer.json beside tokenizer.model has the tokens that training added.
  @Test func addedTokensBesideAModel() throws {
    let model = sentencePiece()
    let alone = try read([:], model: model, vocabulary: 263).metadata
    #expect(tokens(alone).suffix(3) == ["b", "[PAD261]", "[PAD262]"])
    let config =
      #"{"added_tokens_decoder":{"261":{"content":"<|im_start|>","special":true},"262":{"content":"<think>"}}}"#
    let result = try read(["tokenizer_config.json": config], model: model, vocabulary: 263).metadata
    #expect(tokens(result).suffix(3) == ["b", "<|im_start|>", "<think>"])
    guard case .array(.int32(let types))? = result["tokenizer.ggml.token_type"] else {
      Issue.record("no types")
      return
    }
    #expect(types.suffix(2) == [3, 4])
  }

  /// Rules that change ids, and that llama.cpp does not have.
  @Test(arguments: [
    ([UInt8](), [0x12, 1, 7, 0x20, 0] as [UInt8], UInt8(1), "normalizer_spec"),
    ([], [], 1, "removes extra blanks"), ([0xC0, 1, 1], [0x20, 0], 1, "treat_whitespace_as_suffix"),
    ([], [0x20, 0], 4, "is user-defined"),
  ])
  func rulesThatCannotBeExpressed(trainer: [UInt8], normalizer: [UInt8], piece: UInt8, reason: String) throws {
    let error = #expect(throws: CheckpointError.self) {
      _ = try read(
        [:], model: sentencePiece(trainer: trainer, normalizer: normalizer, piece: piece), vocabulary: 261)
    }
    #expect(error.map { "\($0) \($0.hint ?? "")" }?.contains(reason) == true, "\(String(describing: error))")
  }

  /// -1 and null mean that there is no such token.
  @Test func noToken() throws {
    let directory = try TemporaryDirectory()
    try Data(#"{"vocab_size":5,"pad_token_id":-1,"eos_token_id":null}"#.utf8)
      .write(to: directory.url.appending(path: "config.json"))
    try Data(sound.utf8).write(to: directory.url.appending(path: "tokenizer.json"))
    let metadata = try tokenizerMetadata(directory: directory.url.path, architecture: "llama")
    #expect(metadata["tokenizer.ggml.padding_token_id"] == nil && metadata["tokenizer.ggml.eos_token_id"] == nil)
  }
}
