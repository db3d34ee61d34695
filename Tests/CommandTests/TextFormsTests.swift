import Foundation
import TestSupport
import Testing

/// Every command reads text with a byte order mark or other line ends as the same text.
@Suite struct TextFormsTests {
  let qtool = Binary(beside: .module)
  let out: TemporaryDirectory
  init() throws { out = try TemporaryDirectory() }

  private func write(_ name: String, _ text: String) throws -> String {
    try Data(text.utf8).write(to: out.url.appending(path: name))
    return out.path(name)
  }

  private func writeUTF16(_ name: String, _ text: String) throws -> String {
    let bytes = ("\u{FEFF}" + text).utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
    try Data(bytes).write(to: out.url.appending(path: name))
    return out.path(name)
  }

  private func expectRefusal(_ arguments: [String], _ name: String, location: SourceLocation = #_sourceLocation) throws
  {
    let result = try qtool.run(arguments)
    #expect(result.status == 65 && result.output.isEmpty, "\(result.error)", sourceLocation: location)
    #expect(result.error.contains("\(name): is UTF-16LE, not UTF-8"), sourceLocation: location)
    #expect(result.error.contains("hint: convert it: iconv -f UTF-16LE -t UTF-8"), sourceLocation: location)
  }

  @Test func recipesAndPins() throws {
    let recipe = "base: Q4_K\nrules:\n  - output=Q6_K\n  - ffn_down=Q3_K\n"
    let pins = "attn_q=Q8_0\nattn_v=Q5_K\n"
    func quantize(_ recipe: String, _ pins: String) -> [String] {
      [
        "quantize", Repository.demoModel, "--recipe", recipe, "--tensor-type-file", pins, "--no-importance",
        "--dry-run",
        "--quiet",
      ]
    }
    let plain = try qtool.run(quantize(try write("a.yaml", recipe), try write("a.txt", pins)))
    #expect(plain.status == 0 && plain.output.contains("Q6_K") && plain.output.contains("Q5_K"), "\(plain.error)")
    for (mark, end) in [("\u{FEFF}", "\n"), ("", "\r\n"), ("\u{FEFF}", "\r\n"), ("", "\r")] {
      let other = try qtool.run(
        quantize(
          try write("b.yaml", mark + recipe.replacing("\n", with: end)),
          try write("b.txt", mark + pins.replacing("\n", with: end))))
      #expect(other.status == 0 && other.output == plain.output, "\(other.error)")
    }
    try expectRefusal(quantize(try writeUTF16("c.yaml", recipe), out.path("a.txt")), "c.yaml")
    try expectRefusal(quantize(out.path("a.yaml"), try writeUTF16("c.txt", pins)), "c.txt")
  }

  /// Line ends become LF, which is noted; bytes that are not UTF-8 are counted.
  @Test func textsToScore() throws {
    let text = try String(contentsOfFile: Repository.root.path + "/Examples/held-out.txt", encoding: .utf8).prefix(3000)
    func score(_ path: String) throws -> Binary.Result {
      try qtool.run(["perplexity", Repository.demoModel, "--text", path, "--ctx", "128", "--csv"])
    }
    let plain = try score(try write("a-text.txt", String(text)))
    #expect(plain.status == 0, "\(plain.error)")
    let crlf = try score(try write("b-text.txt", "\u{FEFF}" + text.replacing("\n", with: "\r\n")))
    #expect(crlf.error.contains("note: b-text.txt: line ends CR LF and CR are read as LF"))
    #expect(crlf.output.replacing("b-text", with: "a-text") == plain.output)
    #expect(!plain.error.contains("line ends"))
    try Data(text.utf8 + [0xE9, 0x0A]).write(to: out.url.appending(path: "c.txt"))
    let windows = try score(out.path("c.txt"))
    #expect(windows.status == 0)
    #expect(windows.error.contains("warning: c.txt: 1 sequences of bytes are not UTF-8 and are read as U+FFFD"))
    try expectRefusal(
      ["perplexity", Repository.demoModel, "--text", try writeUTF16("d.txt", String(text)), "--quiet"], "d.txt")
  }

  /// Every byte is tokenized.
  /// The demo model's vocabulary spells Russian in bytes, and has German words.
  @Test func textInUnknownScripts() throws {
    for name in ["german.txt", "russian.txt"] {
      try FileManager.default.copyItem(
        at: Repository.root.appending(path: "calibration/\(name)"), to: out.url.appending(path: name))
    }
    let model = Repository.demoModel
    let note = "note: russian.txt: left out, since the model's vocabulary spells their script in bytes; "
    func run(_ arguments: String...) throws -> (error: String, shown: String) {
      let file = out.path("out.gguf")
      let result = try qtool.run(arguments + ["-o", file, "--force"])
      #expect(result.status == 0, "\(result.error)")
      return (result.error, try qtool.run(["inspect", file]).output)
    }
    let folder = try run("imatrix", model, "--calibration", out.url.path)
    #expect(folder.error.contains(note), "\(folder.error)")
    #expect(folder.shown.contains("german.txt") && !folder.shown.contains("russian.txt"), "\(folder.shown)")
    let named = try run("imatrix", model, "--calibration", out.path("german.txt"), out.path("russian.txt"))
    #expect(!named.error.contains("left out") && named.shown.contains("russian.txt"), "\(named.error)")
    let mixed = try run("imatrix", model, "--calibration", out.url.path, "--mix", "german=1", "russian=1")
    #expect(!mixed.error.contains("left out") && mixed.shown.contains("russian.txt"), "\(mixed.error)")
    let quantized = try run("quantize", model, "--type", "Q4_0", "--effort", "1", "--calibration", out.url.path)
    #expect(quantized.error.contains(note), "\(quantized.error)")
    #expect(
      quantized.shown.contains("german.txt") && !quantized.shown.contains("russian.txt"), "\(quantized.shown)")
  }

  @Test func tokenizeIsExact() throws {
    func ids(_ text: String) throws -> [String.SubSequence] {
      let result = try qtool.run(["tokenize", Repository.demoModel, "--text", try write("t.txt", text), "--no-special"])
      #expect(result.status == 0 && result.error.isEmpty, "\(result.error)")
      return result.output.split(separator: " ")
    }
    let plain = try ids("a\nb")
    #expect(try ids("a\r\nb") != plain)
    #expect(try ids("\u{FEFF}a\nb").count > plain.count)
    try expectRefusal(["tokenize", Repository.demoModel, "--text", try writeUTF16("u.txt", "a\nb")], "u.txt")
  }

  @Test func tasks() throws {
    let task = "A person enters a room and\n0\nsits.\nflies.\nmelts.\nsings.\n"
    func score(_ path: String) -> [String] {
      ["perplexity", Repository.demoModel, "--hellaswag", path, "--json", "-q"]
    }
    let plain = try qtool.run(score(try write("h.txt", task)))
    #expect(plain.status == 0, "\(plain.error)")
    #expect(
      try qtool.run(score(try write("h.txt", "\u{FEFF}" + task.replacing("\n", with: "\r\n")))).output == plain.output)
    try expectRefusal(score(try writeUTF16("g.txt", task)), "g.txt")
    try Data(Array("caf".utf8) + [0xE9] + Array(task.utf8)).write(to: out.url.appending(path: "w.txt"))
    let windows = try qtool.run(score(out.path("w.txt")))
    #expect(windows.status == 65 && windows.error.contains("w.txt: at byte 3: is not UTF-8"))
  }

  /// The output of `qtool drift --json > drift.json` in a Windows shell.
  @Test func findings() throws {
    let json = "{\"model\": \"m\", \"entries\": [{\"tensor\": \"blk.0.attn_q.weight\", \"coefficient\": 1.5}]}"
    let marked = try qtool.run(["report", try write("s.json", "\u{FEFF}" + json + "\r\n"), "-o", out.path("a.html")])
    #expect(marked.status == 0, "\(marked.error)")
    try expectRefusal(["report", try writeUTF16("t.json", json), "-o", out.path("b.html")], "t.json")
    try expectRefusal(
      [
        "quantize", Repository.demoModel, "--target", "3MB", "--sensitivity", out.path("t.json"), "--no-importance",
        "-o", out.path("o.gguf"), "--quiet",
      ], "t.json")
    #expect(!out.contents.contains("o.gguf") && !out.contents.contains("b.html"))
  }
}
