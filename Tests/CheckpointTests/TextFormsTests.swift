import Checkpoint
import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// A directory whose files were edited on Windows is the same model, or gives a clear error.
@Suite struct TextFormsTests {
  private static let card = """
    ---
    license: mit
    base_model: org/Some-Base-7B
    tags:
    - chat
    - größer
    ---
    # A model
    """
  private static let aboutKeys = [
    "general.license", "general.tags", "general.base_model.0.name", "general.base_model.0.organization",
  ]

  private func metadata(_ files: [String: [UInt8]]) throws -> Metadata {
    let copy = try DemoCopy()
    for (name, bytes) in files { try Data(bytes).write(to: copy.directory.url.appending(path: name)) }
    return try CheckpointDirectory(path: copy.path).metadata
  }

  private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]

  private func utf16(_ text: String) -> [UInt8] {
    ("\u{FEFF}" + text).utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
  }

  @Test(arguments: ["\n", "\r\n", "\r"], [false, true]) func modelCards(lineEnd: String, isMarked: Bool) throws {
    let text = Self.card.replacing("\n", with: lineEnd)
    let metadata = try metadata(["README.md": (isMarked ? Self.mark : []) + Array(text.utf8)])
    #expect(metadata.optionalString("general.license") == "mit")
    #expect(metadata.optionalStrings("general.tags") == ["chat", "größer"])
    #expect(metadata.optionalString("general.base_model.0.name") == "Some Base 7B")
    #expect(metadata.optionalString("general.base_model.0.organization") == "Org")
  }

  /// Text after the front matter is not read.
  @Test func bytesBehindTheFrontMatter() throws {
    let good = Array(Self.card.utf8) + [0xFF, 0xE9]
    #expect(try metadata(["README.md": good]).optionalString("general.license") == "mit")
    let error = #expect(throws: TextError.self) {
      try metadata(["README.md": Array("---\nlicense: caf".utf8) + [0xE9] + Array("\n---\n".utf8)])
    }
    #expect(error?.offset == 16 && error?.path.hasSuffix("README.md") == true)
    for text in ["", "---", "---\n", "no card", "---\r\n\r\n---\r\n"] {
      let metadata = try metadata(["README.md": Array(text.utf8)])
      #expect(Self.aboutKeys.allSatisfy { metadata[$0] == nil })
    }
  }

  @Test(arguments: ["README.md", "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
  func widerEncodings(_ name: String) throws {
    let file = URL(filePath: Repository.demoModel).appending(path: name)
    let text = (try? String(contentsOf: file, encoding: .utf8)) ?? (name == "README.md" ? Self.card : "{\"top_k\": 4}")
    let error = #expect(throws: TextError.self) { try metadata([name: utf16(text)]) }
    #expect(error?.description.hasSuffix("\(name): is UTF-16LE, not UTF-8") == true)
    #expect(error?.hint?.contains("iconv -f UTF-16LE") == true)
  }

  @Test func jsonWithMarkAndCarriageReturns() throws {
    var files: [String: [UInt8]] = [:]
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
      let text = try String(contentsOf: URL(filePath: Repository.demoModel).appending(path: name), encoding: .utf8)
      files[name] = Self.mark + Array(text.replacing("\n", with: "\r\n").utf8)
    }
    files["generation_config.json"] = Self.mark + Array("{\r\n \"top_k\": 4}".utf8)
    var expected = try metadata([:])
    var actual = try metadata(files)
    #expect(actual.removeValue(forKey: "general.sampling.top_k") == .int32(4))
    // The folder's name is part of the model's.
    for key in ["general.name", "general.basename", "general.finetune", "general.version"] {
      expected.removeValue(forKey: key)
      actual.removeValue(forKey: key)
    }
    #expect(actual == expected)
  }

  /// As Python reads them.
  @Test func chatTemplates() throws {
    let template = Self.mark + Array("{% for m in messages %}\r\n{{ m.content }}\r\n{% endfor %}".utf8)
    let copy = try DemoCopy()
    try copy.set("chat_template", nil, in: "tokenizer_config.json")
    try Data(template).write(to: copy.directory.url.appending(path: "chat_template.jinja"))
    let metadata = try CheckpointDirectory(path: copy.path).metadata
    let text = try #require(metadata.optionalString("tokenizer.chat_template"))
    #expect(Array(text.utf8) == Array("{% for m in messages %}\n{{ m.content }}\n{% endfor %}".utf8))
  }
}
