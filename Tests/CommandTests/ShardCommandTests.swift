import Foundation
import GGUF
import TestSupport
import Testing

/// Models in shards, through the binary: split, opened by every command, and merged.
@Suite struct ShardCommandTests {
  let qtool = Binary(beside: .module)
  let out: TemporaryDirectory
  /// The demo model as one GGUF.
  let whole: String

  init() throws {
    out = try TemporaryDirectory()
    whole = out.path("whole.gguf")
    _ = try run("convert", Repository.demoModel, "-o", whole)
  }

  @discardableResult
  private func run(_ arguments: String..., location: SourceLocation = #_sourceLocation) throws -> String {
    let result = try qtool.run(arguments + ["--quiet"])
    #expect(result.status == 0, "\(result.error)", sourceLocation: location)
    return result.output
  }

  private func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(filePath: path)) }

  private func names(_ prefix: String) -> [String] { out.contents.filter { $0.hasPrefix(prefix) } }

  @Test func convertingToShardsIsConvertingAndSplitting() throws {
    let printed = try run("convert", Repository.demoModel, "-o", out.path("part.gguf"), "--shard-size", "2MB")
    let made = names("part")
    #expect(made.count > 2 && made[0] == "part-00001-of-0000\(made.count).gguf")
    #expect(printed.split(separator: "\n").count == made.count)
    for name in made { #expect(try bytes(out.path(name)).count <= 2_000_000) }
    try run("split", whole, "-o", out.path("split.gguf"), "--max-size", "2MB")
    #expect(try names("split").map { try bytes(out.path($0)) } == made.map { try bytes(out.path($0)) })
    try run("merge", out.path(made[0]), "-o", out.path("merged.gguf"))
    #expect(try bytes(out.path("merged.gguf")) == bytes(whole))
    // Splits shards again.
    try run("split", out.path(made[0]), "-o", out.path("again.gguf"), "--max-tensors", "20", "--no-tensor-first-split")
    #expect(names("again").count == 3)
    try run("merge", out.path(names("again")[0]), "-o", out.path("merged.gguf"), "--force")
    #expect(try bytes(out.path("merged.gguf")) == bytes(whole))
  }

  @Test func everyCommandTakesTheFirstShard() throws {
    try run("split", whole, "-o", out.path("part.gguf"), "--max-size", "3MB")
    let first = out.path(names("part")[0])
    let text = Repository.root.appending(path: "Examples/held-out.txt").path
    for command in [["perplexity", "--text", text, "--chunks", "1"], ["tokenize", "--text", text]] {
      let outputs = try [whole, first].map { model in
        try qtool.run([command[0], model] + command.dropFirst()).output.replacing(
          model.split(separator: "/").last!, with: "")
      }
      // The width of columns depends on the model's name.
      let words = outputs.map { $0.split(whereSeparator: { $0.isWhitespace || $0 == "─" }) }
      #expect(!words[0].isEmpty && words[0] == words[1])
    }
    for command in [
      ["quantize", "--no-feedback", "--type", "Q4_K_M"], ["convert", "--type", "Q8_0"],
      ["imatrix", "--calibration", text, "--chunks", "1"],
    ] {
      for (model, output) in [(whole, "one.gguf"), (first, "two.gguf")] {
        let result = try qtool.run(
          [command[0], model, "-o", out.path(output), "--force", "--quiet"] + command.dropFirst())
        #expect(result.status == 0, "\(result.error)")
      }
      #expect(try bytes(out.path("one.gguf")) == bytes(out.path("two.gguf")), "\(command)")
    }
    #expect(try run("verify", first).contains("39 tensors"))
    let drift = try run("drift", whole, first, "--text", text, "--chunks", "1")
    #expect(drift.contains(names("part")[0]))
  }

  @Test func aShardThatIsMissingIsNamed() throws {
    try run("split", whole, "-o", out.path("part.gguf"), "--max-size", "3MB")
    let shards = names("part")
    try FileManager.default.removeItem(atPath: out.path(shards[1]))
    let result = try qtool.run(["merge", out.path(shards[0]), "-o", out.path("merged.gguf"), "--quiet"])
    #expect(result.status == 65 && result.error.contains("\(shards[1]): key split.count: "), "\(result.error)")
    #expect(result.error.contains("hint: the download is incomplete") && names("merged").isEmpty)
  }

  @Test(arguments: [("split", "--shard-size"), ("merge", "name the file")])
  func aFolderIsRefusedWithAHint(command: String, hint: String) throws {
    let limit = command == "split" ? ["--max-size", "2MB"] : []
    let result = try qtool.run([command, Repository.demoModel, "-o", out.path("no.gguf"), "--quiet"] + limit)
    #expect(result.status == 66 && result.error.contains("is a folder, and \(command) takes"), "\(result.error)")
    #expect(result.error.contains("hint: ") && result.error.contains(hint) && names("no").isEmpty)
  }

  @Test func aDryRunListsTheShards() throws {
    let convert = try run(
      "convert", Repository.demoModel, "-o", out.path("dry.gguf"), "--shard-size", "2MB", "--dry-run")
    let split = try run("split", whole, "-o", out.path("dry.gguf"), "--max-size", "2MB", "--dry-run")
    #expect(convert.contains("dry-00001-of-0000") && convert.contains(split))
    #expect(names("dry").isEmpty)
  }

  @Test func whatIsThereStays() throws {
    try run("convert", Repository.demoModel, "-o", out.path("part.gguf"), "--shard-size", "3MB")
    let made = names("part")
    let last = try bytes(out.path(made.last!))
    try FileManager.default.removeItem(atPath: out.path(made[0]))
    for command in [
      ["convert", Repository.demoModel, "--shard-size", "3MB"], ["split", whole, "--max-size", "3MB"],
    ] {
      let result = try qtool.run(command + ["-o", out.path("part.gguf"), "--quiet"])
      #expect(result.status == 73 && result.error.contains("already exists"), "\(result.error)")
      #expect(names("part") == Array(made.dropFirst()))
    }
    #expect(try bytes(out.path(made.last!)) == last)
  }

  @Test func anOutputThatIsAnInput() throws {
    try run("split", whole, "-o", out.path("part.gguf"), "--max-size", "3MB")
    let first = out.path(names("part")[0])
    for command in [
      ["convert", first, "--shard-size", "3MB", "-o", out.path("part.gguf")],
      ["split", first, "--max-size", "3MB", "-o", out.path("part.gguf")], ["merge", first, "-o", first],
    ] {
      let result = try qtool.run(command + ["--force", "--quiet"])
      #expect(result.status != 0 && result.error.contains("is also an input"), "\(command) \(result.error)")
    }
    try run("merge", first, "-o", out.path("merged.gguf"))
    #expect(try bytes(out.path("merged.gguf")) == bytes(whole))
  }

  @Test func nothingToMerge() throws {
    let result = try qtool.run(["merge", whole, "-o", out.path("out.gguf"), "--quiet"])
    #expect(result.status == 65 && result.error.contains("already one file"))
    #expect(names("out").isEmpty)
  }

  @Test(arguments: [["--max-size", "0B"], ["--max-tensors", "0"], [], ["--max-size", "1GB", "--max-tensors", "1"]])
  func limitsThatAreNone(arguments: [String]) throws {
    let result = try qtool.run(["split", whole, "-o", out.path("out.gguf")] + arguments)
    #expect(result.status == 64, "\(result.error)")
    #expect(names("out").isEmpty)
  }
}
