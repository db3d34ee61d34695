import Checkpoint
import Foundation
import GGUF
import TestSupport
import Testing

/// The tokenizer keys of llama.cpp's converter, for directories of many kinds. Fixtures/keys/make.py makes them.
@Suite struct ReferenceKeyTests {
  struct Case: CustomTestStringConvertible, @unchecked Sendable {
    let name: String
    let family: String
    let architecture: String
    let config: Any
    let fields: [String: Any]
    let files: [String: Any]
    let keys: [String: String]
    var testDescription: String { name }
  }

  static let cases: [Case] = {
    guard let url = Bundle.module.url(forResource: "Fixtures/keys/keys", withExtension: "json"),
      let data = try? Data(contentsOf: url),
      let entries = try? JSONSerialization.jsonObject(with: data) as? [[String: Any]]
    else { return [] }
    return entries.compactMap { entry in
      guard let name = entry["name"] as? String, let family = entry["family"] as? String,
        let architecture = entry["architecture"] as? String, let config = entry["config"],
        let fields = entry["fields"] as? [String: Any], let files = entry["files"] as? [String: Any],
        let keys = entry["keys"] as? [String: String]
      else { return nil }
      return Case(
        name: name, family: family, architecture: architecture, config: config, fields: fields, files: files, keys: keys
      )
    }
  }()

  @Test func allCasesExist() { #expect(Self.cases.count == 18) }

  @Test(arguments: cases) func keysAreEqual(_ item: Case) throws {
    let directory = try TemporaryDirectory()
    try write(item.config, to: directory.url.appending(path: "config.json"))
    let folder = FamilyTests.folder.appending(path: item.family)
    for name in ["tokenizer.json", "tokenizer.model"] {
      let source = folder.appending(path: name)
      guard FileManager.default.fileExists(atPath: source.path) else { continue }
      let target = directory.url.appending(path: name)
      if name == "tokenizer.json", !item.fields.isEmpty {
        let root = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: source)) as? [String: Any])
        try write(root.merging(item.fields) { $1 }, to: target)
      } else {
        try FileManager.default.copyItem(at: source, to: target)
      }
    }
    for (name, content) in item.files { try write(content, to: directory.url.appending(path: name)) }
    var actual = try tokenizerMetadata(directory: directory.url.path, architecture: item.architecture)
    // The converter's scores encode text wrongly.
    if item.name == "llama2-json" { actual.removeValue(forKey: "tokenizer.ggml.scores") }
    // The converter does not write the position of the blank, and the id of a token that only a template names.
    let isOnce = actual.removeValue(forKey: "tokenizer.ggml.add_space_prefix_once")
    #expect(isOnce == (item.name == "llama2" ? .bool(true) : nil))
    if item.name == "llama3-without-config" {
      #expect(actual.removeValue(forKey: "tokenizer.ggml.eos_token_id") == .uint32(1101))
    }
    #expect(Set(actual.keys) == Set(item.keys.keys))
    for (key, value) in actual { #expect(describe(value) == item.keys[key], "\(key)") }
  }

  /// Tokens without a row of the embedding are left out, with a note.
  @Test func tokensBeyondTheVocabularyAreNoted() throws {
    let directory = try TemporaryDirectory()
    let model = FamilyTests.folder.appending(path: "llama-spm/tokenizer.model")
    try FileManager.default.copyItem(at: model, to: directory.url.appending(path: "tokenizer.model"))
    try write(["vocab_size": 902], to: directory.url.appending(path: "config.json"))
    try write(["<pad>": 900, "far": 902], to: directory.url.appending(path: "added_tokens.json"))
    let notes = try tokenizerNotes(directory: directory.url.path, architecture: "llama")
    #expect(notes.count == 2)
    #expect(notes[0].contains(#"token "far" has id 902, which is kept; `transformers` would number it 901"#))
    #expect(notes[1].contains(#"token "far" is left out: its id 902 is beyond config.json's vocabulary of 902"#))
  }

  private func write(_ content: Any, to url: URL) throws {
    if let text = content as? String {
      try text.write(to: url, atomically: true, encoding: .utf8)
    } else {
      try JSONSerialization.data(withJSONObject: content).write(to: url)
    }
  }

  /// A value in make.py's notation.
  private func describe(_ value: MetadataValue) -> String {
    switch value {
    case .uint32(let x): return "UINT32 \(x)"
    case .bool(let x): return "BOOL \(x ? 1 : 0)"
    case .string(let x): return "STRING \(x)"
    case .array(.string(let x)): return "STRINGS " + fnv1a(x.joined(separator: "\0").utf8)
    case .array(.int32(let x)): return "INT32S " + fnv1a(x.map(String.init).joined(separator: ",").utf8)
    case .array(.float32(let x)):
      return "FLOAT32S "
        + fnv1a(x.flatMap { x in (0..<4).map { UInt8(truncatingIfNeeded: x.bitPattern >> UInt32(8 * $0)) } })
    default: return "\(value)"
    }
  }
}
