import Checkpoint
import Files
import Foundation
import GGUF
import TestSupport
import Testing
import Tokenizers

/// A tekken.json, whose merges are derived, beside Mistral's package. Tests/CommandTests/Fixtures/reference/mistral.py
/// makes the file, and the digests of the package's ids.
@Suite struct TekkenTests {
  private let model: DemoCopy

  init() throws {
    model = try ReferenceModel.copy("mistral-native")
    try "{}".write(toFile: model.directory.path("config.json"), atomically: true, encoding: .utf8)
  }

  private func metadata() throws -> Metadata {
    try tokenizerMetadata(directory: model.path, architecture: "llama")
  }

  @Test func idsEqualThePackages() throws {
    let tokenizer = try Tokenizer(metadata: try metadata())
    let url = try #require(Bundle.module.url(forResource: "Fixtures/tekken", withExtension: nil))
    let expected = try JSONDecoder().decode(
      [String].self, from: Data(contentsOf: url.appending(path: "expected.json")))
    #expect(expected.count == 20)
    for (text, expected) in zip(FamilyTests.texts, expected) {
      let ids = tokenizer.encode(text, addSpecial: false, parseSpecial: false)
      #expect(fnv1a(ids.flatMap { id in (0..<4).map { UInt8(truncatingIfNeeded: id >> Int32(8 * $0)) } }) == expected)
    }
  }

  @Test func specialTokens() throws {
    let tokens = try #require(try metadata().optionalStrings("tokenizer.ggml.tokens"))
    #expect(tokens.count == 324)
    #expect(tokens[0...2] == ["<unk>", "<s>", "</s>"])
    #expect(tokens[20...23] == ["[ARGS]", "[CALL_ID]", "<SPECIAL_22>", "<SPECIAL_23>"])
    // Files up to version 7 do not list them.
    try model.set("special_tokens", nil, in: "tekken.json")
    #expect(throws: FormatError.self) { try metadata() }
    try set("version", "v7")
    #expect(try metadata().optionalStrings("tokenizer.ggml.tokens")?[19...20] == ["[TOOL_CONTENT]", "<SPECIAL_20>"])
  }

  private func set(_ key: String, _ value: Any) throws {
    let data = try Data(contentsOf: URL(filePath: model.directory.path("tekken.json")))
    let root = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    var config = try #require(root["config"] as? [String: Any])
    config[key] = value
    try model.set("config", config, in: "tekken.json")
  }

  private func expect(_ text: String) {
    let error = #expect(throws: FormatError.self) { try metadata() }
    #expect(error?.description.contains(text) == true, "\(error?.description ?? "")")
  }

  @Test func damagedFiles() throws {
    try set("default_vocab_size", 1000)
    expect("key config.default_vocab_size: asks for 976 tokens beside the special ones, and the file lists 308")
    try set("default_vocab_size", 324)
    try set("default_num_special_tokens", 10)
    expect("key config.default_vocab_size: asks for 314")
    try set("default_vocab_size", 300)
    expect("key special_tokens: has 22 entries, and 10 are reserved")
    try set("default_num_special_tokens", 24)
    try set("pattern", "[a-z]+")
    expect("key config.pattern: is unknown: [a-z]+")
    #expect(throws: Never.self) {
      _ = try tokenizerMetadata(directory: model.path, architecture: "llama", pre: "tekken")
    }
  }

  @Test(arguments: [
    (#""rank":300,"#, #""rank":301,"#, "key vocab: has at index 300 no token of this rank"),
    (#""token_bytes":"AQ==""#, #""token_bytes":"AA==""#, "has at index 1 no token of this rank, which"),
    (#""rank":3,"token_str""#, #""rank":4,"token_str""#, "key special_tokens: has at index 3 no token of this rank"),
    (#""token_str":"</s>""#, #""token_str":"</t>""#, "lacks <s> or </s>"),
  ]) func damagedEntries(old: String, new: String, message: String) throws {
    try model.replace(old, by: new, in: "tekken.json")
    expect(message)
  }
}
