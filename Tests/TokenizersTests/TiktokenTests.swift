import Checkpoint
import Files
import Foundation
import GGUF
import TestSupport
import Testing
import Tokenizers

/// A tiktoken.model, whose merges are derived, beside the `tiktoken` package. Fixtures/tiktoken/make.py makes both.
@Suite struct TiktokenTests {
  private func folder() throws -> String {
    try #require(Bundle.module.url(forResource: "Fixtures/tiktoken", withExtension: nil)).path
  }

  @Test func idsEqualThePackages() throws {
    let tokenizer = try Tokenizer(metadata: try tokenizerMetadata(directory: folder(), architecture: "deepseek2"))
    let data = try Data(contentsOf: URL(filePath: folder() + "/expected.json"))
    let expected = try JSONDecoder().decode([String].self, from: data)
    #expect(expected.count == 20)
    for (text, expected) in zip(FamilyTests.texts, expected) {
      let ids = tokenizer.encode(text, addSpecial: false, parseSpecial: false)
      #expect(fnv1a(ids.flatMap { id in (0..<4).map { UInt8(truncatingIfNeeded: id >> Int32(8 * $0)) } }) == expected)
    }
  }

  /// Ids of config.json have precedence over the names in tokenizer_config.json; ids without a name are reserved.
  @Test func specialTokens() throws {
    let metadata = try tokenizerMetadata(directory: folder(), architecture: "deepseek2")
    #expect(metadata.optionalString("tokenizer.ggml.pre") == "kimi-k2")
    #expect(metadata["tokenizer.ggml.bos_token_id"] == .uint32(1100))
    #expect(metadata["tokenizer.ggml.eos_token_id"] == .uint32(1102))
    let tokens = try #require(metadata.optionalStrings("tokenizer.ggml.tokens"))
    #expect(tokens.count == 1108)
    #expect(tokens[1100...1103] == ["[BOS]", "[EOS]", "<|im_end|>", "<|reserved_token_1103|>"])
    let merges = try #require(metadata.optionalStrings("tokenizer.ggml.merges"))
    #expect(merges.count == 1100 - 256)
  }

  @Test(arguments: [
    ("AA== 0", "AA== 1", "line 1: is not a token in Base64 and the rank 0"),
    ("AA== 0", "A 0", "line 1: is not a token in Base64 and the rank 0"),
    ("Ag== 2", "AQ== 2", "line 3: has the bytes of line 2"),
  ]) func damagedFiles(old: String, new: String, message: String) throws {
    let directory = try TemporaryDirectory()
    for name in ["config.json", "tokenizer_config.json", "tiktoken.model"] {
      try FileManager.default.copyItem(atPath: folder() + "/" + name, toPath: directory.path(name))
    }
    let url = URL(filePath: directory.path("tiktoken.model"))
    let text = try String(contentsOf: url, encoding: .utf8)
    let range = try #require(text.range(of: old))
    try text.replacingCharacters(in: range, with: new).write(to: url, atomically: true, encoding: .utf8)
    let error = #expect(throws: FormatError.self) {
      try tokenizerMetadata(directory: directory.url.path, architecture: "deepseek2")
    }
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
  }
}
