import Foundation
import GGUF
import TestSupport
import Testing

/// Every command prints notes on contradictions between a directory's files.
@Suite struct CheckpointNotesTests {
  private let qtool = Binary(beside: .module)
  private let out: TemporaryDirectory
  private let model: DemoCopy

  /// The demo model, which has a separate head, with a config.json that ties it.
  init() throws {
    out = try TemporaryDirectory()
    model = try DemoCopy()
    try model.set("tie_word_embeddings", true)
    try "A text to score, of some words. ".repeated(40).write(
      toFile: out.path("text.txt"), atomically: true, encoding: .utf8)
  }

  private static let text = "lm_head.weight differs from the embeddings, first in row 0, and is kept"

  @Test(arguments: [
    ["convert", "MODEL", "-o", "OUT.gguf"], ["tokenize", "MODEL", "--text", "TEXT"],
    ["inspect", "MODEL", "--key", "general.name"], ["diff", "MODEL", "MODEL", "--no-errors"],
    ["quantize", "MODEL", "--type", "Q8_0", "--no-importance", "-o", "OUT.gguf"],
    ["imatrix", "MODEL", "--calibration", "TEXT", "--ctx", "64", "--chunks", "1", "-o", "OUT.imatrix.gguf"],
    ["perplexity", "MODEL", "--text", "TEXT", "--ctx", "64", "--chunks", "1"],
    ["drift", "MODEL", "MODEL", "--text", "TEXT", "--ctx", "64", "--chunks", "1"],
  ])
  func everyCommandPrintsNotes(arguments: [String]) throws {
    let result = try qtool.run(
      arguments.map {
        $0.replacing("MODEL", with: model.path).replacing("TEXT", with: out.path("text.txt"))
          .replacing("OUT", with: out.path("out"))
      })
    #expect(result.status == 0, "\(result.error)")
    #expect(result.error.contains("note: ") && result.error.contains(Self.text), "\(result.error)")
    #expect(!result.output.contains(Self.text))
  }

  @Test(arguments: [[], ["--json"]])
  func inspectListsNotes(arguments: [String]) throws {
    let result = try qtool.run(["inspect", model.path] + arguments)
    #expect(result.output.contains(Self.text) && result.error.isEmpty, "\(result.output)")
  }

  /// A model card with a fault is noted, and the model is converted without its keys.
  @Test func modelCardsWithFaults() throws {
    let card = URL(filePath: model.path + "/README.md")
    for (text, note) in [
      ("---\nlicense: mit\ntags: [chat\n---\n# A model\n", "is not valid YAML at line "),
      ("---\nlicense: mit\nlicense: apache-2.0\n---\n", "has two values of key license"),
      ("---\n- mit\n---\n", "is not a mapping"),
    ] {
      try text.write(to: card, atomically: true, encoding: .utf8)
      let result = try qtool.run(["convert", model.path, "-o", out.path("out.gguf"), "--force"])
      #expect(result.status == 0 && result.error.contains("README.md: the model card \(note)"), "\(result.error)")
      #expect(try GGUFFile(path: out.path("out.gguf")).metadata["general.license"] == nil)
    }
    try "---\nlicense: mit\n---\n".write(to: card, atomically: true, encoding: .utf8)
    let good = try qtool.run(["convert", model.path, "-o", out.path("out.gguf"), "--force"])
    #expect(good.status == 0 && !good.error.contains("model card"), "\(good.error)")
    #expect(try GGUFFile(path: out.path("out.gguf")).metadata.optionalString("general.license") == "mit")
  }

  @Test func quietPrintsNoNotes() throws {
    let result = try qtool.run(["convert", model.path, "-o", out.path("out.gguf"), "--quiet"])
    #expect(result.status == 0 && result.error.isEmpty)
    #expect(try GGUFFile(path: out.path("out.gguf")).tensor(named: "output.weight") != nil)
  }

  /// The model's predictions equal those of the untied model; with the embeddings as head it would predict badly.
  @Test func keptHeadIsUsed() throws {
    func score(_ path: String) throws -> Substring {
      let result = try qtool.run(
        ["perplexity", path, "--text", out.path("text.txt"), "--ctx", "64", "--chunks", "1", "--quiet", "--csv"])
      #expect(result.status == 0, "\(result.error)")
      return result.output.split(separator: "\n")[1].drop { $0 != "," }
    }
    #expect(try score(model.path) == score(Repository.demoModel))
  }
}

extension String {
  fileprivate func repeated(_ count: Int) -> String { String(repeating: self, count: count) }
}
