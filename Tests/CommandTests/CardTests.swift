import Foundation
import TestSupport
import Testing

/// Model cards.
@Suite struct CardTests {
  private let qtool = Binary(beside: .module)
  private let directory: TemporaryDirectory
  private let demo: DemoCopy

  init() throws {
    directory = try TemporaryDirectory()
    demo = try DemoCopy()
  }

  private func quantize(_ type: String) throws -> String {
    let path = directory.path("demo-\(type).gguf")
    let result = try qtool.run(["quantize", demo.path, "--no-feedback", "--type", type, "-o", path, "--quiet"])
    #expect(result.status == 0, "\(result.error)")
    return path
  }

  @Test func cardHasFrontMatterTableAndDigests() throws {
    try "---\nlicense: apache-2.0\ntags:\n- text-generation\nlanguage: en\n---\n"
      .write(toFile: demo.path + "/README.md", atomically: true, encoding: .utf8)
    let files = [try quantize("Q8_0"), try quantize("Q4_0")]
    let text = Repository.root.path + "/Examples/held-out.txt"
    let drift = try qtool.run(["drift", demo.path] + files + ["--text", text, "--chunks", "2", "--json", "--quiet"])
    #expect(drift.status == 0, "\(drift.error)")
    try drift.output.write(toFile: directory.path("drift.json"), atomically: true, encoding: .utf8)
    let result = try qtool.run(
      ["card"] + files + [
        "--drift", directory.path("drift.json"), "--base-model", "team/demo", "--quantized-by", "some: one", "-o",
        directory.path("README.md"), "--quiet",
      ])
    #expect(result.status == 0, "\(result.error)")
    let card = try String(contentsOfFile: directory.path("README.md"), encoding: .utf8)
    let front = card.components(separatedBy: "---\n")[1]
    #expect(
      front == """
        base_model: "team/demo"
        base_model_relation: quantized
        license: "apache-2.0"
        language:
        - "en"
        library_name: gguf
        tags:
        - "gguf"
        - "quantized"
        - "text-generation"
        quantized_by: "some: one"

        """)
    let sums = try Binary(url: URL(filePath: "/usr/bin/env")).run(["sha256sum", files[0]])
    #expect(card.contains("\(sums.output.prefix(64))  demo-Q8_0.gguf\n"))
    let rows = card.split(separator: "\n").filter { $0.hasPrefix("| [demo-") }
    #expect(rows.count == 2 && rows.allSatisfy { $0.contains(" ± ") && $0.contains("rtx-4090") })
    // Other programs write paths of the machine into files.
    let foreign = directory.path("foreign.gguf")
    let made = try qtool.run([
      "quantize", demo.path, "--no-feedback", "--type", "Q8_0", "--override-kv",
      "quantize.imatrix.file=str:/home/someone/m.gguf", "--override-kv",
      "quantize.imatrix.dataset=str:/home/someone/a.txt b.txt", "--override-kv",
      "general.source.repo_url=str:https://huggingface.co/team/other", "-o", foreign, "--quiet",
    ])
    #expect(made.status == 0, "\(made.error)")
    let other = try qtool.run(["card", foreign, "--quiet"])
    #expect(other.output.contains("Importance matrix: m.gguf, of a.txt b.txt"), "\(other.output)\(other.error)")
    #expect(!other.output.contains("/home/"))
    #expect(other.output.contains("base_model: \"team/other\"\n") && other.error == "", "\(other.error)")
    let named = try qtool.run(["card", foreign, "--base-model", "hf:team/demo@main", "--quiet"])
    #expect(named.output.contains("base_model: \"team/demo\"\n"), "\(named.error)")
    // Nothing of this machine.
    #expect(!card.contains(directory.url.path) && !card.contains(demo.path))
  }

  /// Metadata can't change the YAML or the page.
  @Test func textsOfMetadataAreQuoted() throws {
    try "---\nlicense: \"mit\\\"\\ntags: [evil]\"\nname: \"<script>|x\"\n---\n"
      .write(toFile: demo.path + "/README.md", atomically: true, encoding: .utf8)
    let result = try qtool.run(["card", try quantize("Q8_0"), "--quiet"])
    #expect(result.status == 0, "\(result.error)")
    #expect(result.output.contains("license: \"mit\\\" tags: [evil]\"\n"), "\(result.output)")
    #expect(!result.output.contains("<script>") && result.output.contains("\\<script\\>\\|x"))
  }

  @Test(
    arguments: [
      (["none.gguf"], 66, "no such file"), (["a.gguf", "--base-model", "demo"], 64, "is not ORG/NAME"),
      (["a.gguf", "a.gguf"], 64, "another file has this name"),
      (["a.gguf", "--drift", "a.gguf"], 65, "is not JSON of"),
      (["a.gguf", "-o", "a.gguf"], 64, "is also an input"),
    ] as [([String], Int32, String)])
  func badInput(_ arguments: [String], _ status: Int32, _ message: String) throws {
    try FileManager.default.moveItem(atPath: try quantize("Q8_0"), toPath: directory.path("a.gguf"))
    let named = arguments.map { $0.hasSuffix(".gguf") ? directory.path($0) : $0 }
    let result = try qtool.run(["card"] + named)
    #expect(result.status == status && result.error.contains(message), "\(result.error)")
  }

  /// By default, a machine must hold no more context than the model was trained for; more is possible, and said.
  @Test func contextIsThatOfTheModel() throws {
    let file = try quantize("Q4_0")
    let card = try qtool.run(["card", file, "--base-model", "team/demo"])
    #expect(card.output.contains("cache of 2048 tokens"), "\(card.output)")
    let longer = try qtool.run(["card", file, "--base-model", "team/demo", "--context", "4k"])
    #expect(longer.status == 0 && longer.output.contains("cache of 4096 tokens"), "\(longer.output)")
    #expect(longer.error.contains("--context 4,096 is beyond the 2,048 tokens"), "\(longer.error)")
    let folder = try qtool.run(["card", demo.path])
    #expect(folder.status == 66 && folder.error.contains("is a folder, not a file"), "\(folder.error)")
  }
}
