import Checkpoint
import Files
import Foundation
import GGUF
import TestSupport
import Testing
import Tokenizers

/// Every family of splitters, recognised from its tokenizer.json, is compared with the `tokenizers` package on 200 KB
/// of mixed text. SentencePiece is also compared with its own library. Fixtures/families/make.py makes tokenizers and
/// digests.
@Suite struct FamilyTests {
  static let folder = Bundle.module.url(forResource: "Fixtures/families", withExtension: nil)!
  static let expected: [String: [String]] = {
    let data = try? Data(contentsOf: folder.appending(path: "expected.json"))
    let root = data.flatMap { try? JSONSerialization.jsonObject(with: $0) as? [String: Any] }
    return root?.compactMapValues { $0 as? [String] } ?? [:]
  }()
  static let texts: [String] = {
    guard let data = try? Data(contentsOf: folder.appending(path: "source.json")),
      let mixed = try? JSONDecoder().decode(MixedText.self, from: data)
    else { return [] }
    return (100..<152).map { mixed.document(seed: $0, size: 2100) }
  }()
  /// Names of fixtures, and the names of their splitters.
  static let families = [
    ("llama-bpe", "llama-bpe"), ("qwen2", "qwen2"), ("qwen35", "qwen35"), ("gpt-2", "gpt-2"),
    ("starcoder", "starcoder"), ("deepseek-llm", "deepseek-llm"), ("deepseek-coder", "deepseek-coder"),
    ("deepseek-v3", "deepseek-v3"), ("tekken", "tekken"), ("gpt-4o", "gpt-4o"), ("llama-json", "default"),
    ("llama-spm", "default"),
  ]

  private func path(_ family: String) -> String { Self.folder.appending(path: family).path }

  /// The digest of integers as little-endian 32-bit words.
  private func digest(_ values: some Sequence<Int32>) -> String {
    fnv1a(values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> Int32(8 * $0)) } })
  }

  @Test func textsEqualThePackages() throws {
    #expect(Self.texts.map { digest($0.utf8.map(Int32.init)) } == Self.expected["texts"])
    #expect(Self.texts.reduce(0) { $0 + $1.utf8.count } > 200_000)
  }

  @Test(arguments: families) func idsEqualThePackages(family: String, name: String) throws {
    let metadata = try tokenizerMetadata(directory: path(family), architecture: "llama")
    #expect(metadata.optionalString("tokenizer.ggml.pre") == name)
    let tokenizer = try Tokenizer(metadata: metadata)
    // SentencePiece's library does not search for control tokens in text.
    let parses = family != "llama-spm"
    let ids = Self.texts.map { tokenizer.encode($0, addSpecial: false, parseSpecial: parses) }
    let expected = try #require(Self.expected[family])
    #expect(expected.count == Self.texts.count)
    for (index, ids) in ids.enumerated() { #expect(digest(ids) == expected[index], "\(family), text \(index)") }
  }

  /// Composition changes text, and SentencePiece can't distinguish a blank from the character that represents it.
  @Test(arguments: families.filter { $0.0 != "qwen2" }) func decodingGivesTheText(family: String, name: String) throws {
    let tokenizer = try Tokenizer(metadata: try tokenizerMetadata(directory: path(family), architecture: "llama"))
    for (index, text) in Self.texts.prefix(8).enumerated() {
      let text = name == "default" ? text.replacing("\u{2581}", with: " ") : text
      let isEqual = tokenizer.decode(tokenizer.encode(text, addSpecial: false)).elementsEqual(text.utf8)
      #expect(isEqual, "text \(index)")
    }
  }

  @Test func settingsThatTheNameDoesNotImplyAreKeys() throws {
    // The fixture of llama-bpe ignores merges, as its name implies. This has no effect, because merges give all its
    // tokens.
    let without = { (text: String) in text.replacing(#""ignore_merges":true"#, with: #""ignore_merges":false"#) }
    let plain = try tokenizerMetadata(directory: path("llama-bpe"), architecture: "llama")
    #expect(plain["tokenizer.ggml.ignore_merges"] == nil && plain["tokenizer.ggml.normalizer.nfc"] == nil)
    #expect(try changed("llama-bpe", without) == plain)
    // With a token that no merge gives, the setting has an effect.
    func withoutLastMerge(_ text: String) -> String {
      guard let end = text.range(of: "]]", options: .backwards),
        let start = text.range(of: ",[", options: .backwards, range: text.startIndex..<end.lowerBound)
      else { return text }
      return text.replacingCharacters(in: start.lowerBound...end.lowerBound, with: "")
    }
    let ignoring = try changed("llama-bpe", withoutLastMerge)
    #expect(ignoring.optionalString("tokenizer.ggml.pre") == "llama-bpe")
    let merging = try changed("llama-bpe") { without(withoutLastMerge($0)) }
    #expect(merging.optionalString("tokenizer.ggml.pre") == "smaug-bpe")
    #expect(merging["tokenizer.ggml.ignore_merges"] == nil)
    let tekken = try changed("tekken") { without(withoutLastMerge($0)) }
    #expect(tekken.optionalString("tokenizer.ggml.pre") == "tekken")
    #expect(tekken.optionalBool("tokenizer.ggml.ignore_merges") == false)
    let composing = try changed("deepseek-v3") {
      $0.replacing(#""normalizer":{"type":"Sequence","normalizers":[]}"#, with: #""normalizer":{"type":"NFC"}"#)
    }
    #expect(composing.optionalString("tokenizer.ggml.pre") == "deepseek-v3")
    #expect(composing.optionalBool("tokenizer.ggml.normalizer.nfc") == true)
    let tokenizer = try Tokenizer(metadata: composing)
    #expect(tokenizer.encode("e\u{301}", addSpecial: false) == tokenizer.encode("\u{E9}", addSpecial: false))
    let other = try Tokenizer(metadata: try tokenizerMetadata(directory: path("deepseek-v3"), architecture: "llama"))
    #expect(other.encode("e\u{301}", addSpecial: false) != other.encode("\u{E9}", addSpecial: false))
  }

  @Test func unknownStructureIsDescribedAndCanBeNamed() throws {
    let change = { (text: String) in text.replacing(#"\\p{N}{1,3}"#, with: #"\\p{N}{1,4}"#) }
    let error = #expect(throws: FormatError.self) { try changed("llama-bpe", change) }
    #expect(error?.description.contains("key pre_tokenizer: has an unknown structure: Split (?i:'s|'t") == true)
    #expect(
      error?.topic == .unknownSplitter && error?.hint?.hasPrefix("known: ") == true
        && error?.hint?.contains("llama-bpe") == true)
    #expect(try changed("llama-bpe", pre: "qwen2", change).optionalString("tokenizer.ggml.pre") == "qwen2")
    let unknown = #expect(throws: FormatError.self) { try changed("llama-bpe", pre: "nonesuch", change) }
    #expect(unknown?.description.contains("splitter nonesuch: is unknown") == true)
    let needless = #expect(throws: FormatError.self) {
      try tokenizerMetadata(directory: path("llama-spm"), architecture: "llama", pre: "qwen2")
    }
    #expect(needless?.description.contains("splitter: does not apply") == true)
  }

  /// The keys of a family with a changed tokenizer.json.
  private func changed(_ family: String, pre: String? = nil, _ change: (String) -> String) throws -> Metadata {
    let directory = try TemporaryDirectory()
    for name in ["tokenizer.json", "config.json"] {
      let text = try String(contentsOf: Self.folder.appending(path: "\(family)/\(name)"), encoding: .utf8)
      let result = name == "config.json" ? text : change(text)
      #expect(name == "config.json" || result != text)
      try result.write(to: directory.url.appending(path: name), atomically: true, encoding: .utf8)
    }
    return try tokenizerMetadata(directory: directory.url.path, architecture: "llama", pre: pre)
  }
}
