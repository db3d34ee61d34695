import Foundation
import TestSupport
import Testing

/// Runs in parts, joined: the bytes of one process, whatever the order of the parts; and what can go wrong with them.
@Suite struct PartsTests {
  private let qtool = Binary(beside: .module)
  private let directory: TemporaryDirectory
  private let text: String
  /// Two layers of 32 columns.
  private let tiny: DemoCopy

  init() throws {
    directory = try TemporaryDirectory()
    tiny = try ReferenceModel.copy("llama2")
    text = directory.path("text.txt")
    try (0..<80).map { "Line \($0) says what line \($0 * 7 % 80) left out.\n" }.joined()
      .write(toFile: text, atomically: true, encoding: .utf8)
  }

  private func run(_ arguments: [String], _ environment: [String: String] = [:]) throws -> Binary.Result {
    try qtool.run(arguments + (arguments[0] == "join" ? [] : ["--quiet"]), environment: environment)
  }

  private func imatrix(_ output: String, _ more: [String] = []) -> [String] {
    ["imatrix", tiny.path, "--calibration", text, "--ctx", "48", "-o", directory.path(output)] + more
  }

  private func data(_ name: String) -> Data? { FileManager.default.contents(atPath: directory.path(name)) }

  /// Runs all parts and joins them.
  private func joined(_ command: [String], output: String, parts: [Int]) throws -> Binary.Result {
    for part in parts {
      let result = try run(command + ["--part", "\(part)/\(parts.count)"])
      #expect(result.status == 0, "\(result.error)")
    }
    let result = try run(["join", directory.path(output)])
    #expect(result.status == 0, "\(result.error)")
    return result
  }

  @Test func importance() throws {
    #expect(try run(imatrix("whole.gguf")).status == 0)
    _ = try joined(imatrix("out.gguf"), output: "out.gguf", parts: [3, 1, 5, 2, 4])
    #expect(data("out.gguf") == data("whole.gguf"))
    #expect(directory.contents == ["out.gguf", "text.txt", "whole.gguf"])
  }

  @Test func conversion() throws {
    let command = ["convert", tiny.path, "--type", "Q8_0", "-o"]
    #expect(try run(command + [directory.path("whole.gguf")]).status == 0)
    _ = try joined(command + [directory.path("out.gguf")], output: "out.gguf", parts: [2, 1, 3])
    #expect(data("out.gguf") == data("whole.gguf"))
    #expect(directory.contents == ["out.gguf", "text.txt", "whole.gguf"])
  }

  @Test func quantizing() throws {
    let command = ["quantize", tiny.path, "--type", "Q4_0", "--no-feedback", "--no-importance", "-o"]
    #expect(try run(command + [directory.path("whole.gguf")]).status == 0)
    _ = try joined(command + [directory.path("out.gguf")], output: "out.gguf", parts: [3, 2, 1])
    #expect(data("out.gguf") == data("whole.gguf"))
    // Parts must not decide types each for itself, and a chain of layers has one part.
    for refused in [
      ["--type", "Q4_0", "--calibration", text], ["--target", "100kB", "--no-feedback", "--budget", "1m"],
      ["--type", "Q4_0", "--calibration", text, "--save-imatrix", "--feedback-sections", "2"],
    ] {
      let result = try run(["quantize", tiny.path] + refused + ["-o", directory.path("a.gguf"), "--part", "1/2"])
      #expect(result.status == 64 && result.error.contains("--part:"), "\(result.error)")
    }
  }

  /// Sections of layers are encoded with error feedback in any order, and are not what one chain of layers gives.
  @Test func quantizingWithErrorFeedback() throws {
    let command = ["quantize", tiny.path, "--type", "Q4_0", "--calibration", text]
    let chain = try run(command + ["-o", directory.path("chain.gguf")])
    #expect(chain.status == 0, "\(chain.error)")
    let sections = command + ["--feedback-sections", "2", "-o"]
    #expect(try run(sections + [directory.path("whole.gguf")]).status == 0)
    #expect(data("whole.gguf") != data("chain.gguf"))
    _ = try joined(sections + [directory.path("out.gguf")], output: "out.gguf", parts: [2, 1])
    #expect(data("out.gguf") == data("whole.gguf"))
    #expect(directory.contents == ["chain.gguf", "out.gguf", "text.txt", "whole.gguf"])
    let many = try run(sections + [directory.path("a.gguf"), "--part", "1/3"])
    #expect(many.status == 64 && many.error.contains("3 parts of 2 sections"), "\(many.error)")
    let layers = try run(command + ["--feedback-sections", "3", "-o", directory.path("a.gguf")])
    #expect(layers.status == 64 && layers.error.contains("2 layers"), "\(layers.error)")
  }

  /// Layers with experts do not depend on each other: they are encoded in parts without sections.
  @Test func quantizingExpertsWithErrorFeedback() throws {
    let model = try ReferenceModel.copy("qwen3moe")
    let command = ["quantize", model.path, "--type", "Q4_0", "--calibration", text, "-o"]
    #expect(try run(command + [directory.path("whole.gguf")]).status == 0)
    _ = try joined(command + [directory.path("out.gguf")], output: "out.gguf", parts: [2, 1])
    #expect(data("out.gguf") == data("whole.gguf"))
  }

  /// A fitted file whose types follow from measured sensitivities, with error feedback.
  @Test func fittingWithErrorFeedback() throws {
    let sensitivities = directory.path("s.json")
    #expect(try run(imatrix("i.gguf")).status == 0)
    #expect(
      try run([
        "sensitivity", tiny.path, "--calibration", text, "--bands", "1", "--imatrix", directory.path("i.gguf"), "-o",
        sensitivities,
      ]).status == 0)
    let command = [
      "quantize", tiny.path, "--target", "60kB", "--budget", "0", "--imatrix", directory.path("i.gguf"),
      "--sensitivity",
      sensitivities, "--feedback", "--calibration", text, "--feedback-sections", "2", "-o",
    ]
    let whole = try run(command + [directory.path("whole.gguf")])
    #expect(whole.status == 0, "\(whole.error)")
    _ = try joined(command + [directory.path("out.gguf")], output: "out.gguf", parts: [1, 2])
    #expect(data("out.gguf") == data("whole.gguf"))
    #expect(data("out.gguf")?.range(of: Data("quantize.feedback.sections".utf8)) != nil)
  }

  /// A finished part that is started again writes nothing, and a part of a changed file is done again.
  @Test func finishedPartsAreChecked() throws {
    let command = [
      "quantize", tiny.path, "--type", "Q4_0", "--calibration", text, "--feedback-sections", "2", "-o",
      directory.path("out.gguf"), "--part", "1/2",
    ]
    #expect(try run(command).status == 0)
    let before = try #require(data("out.gguf.part"))
    let again = try qtool.run(command)
    #expect(again.status == 0 && again.error.contains("resumed:"), "\(again.error)")
    #expect(data("out.gguf.part") == before)
    let url = directory.url.appending(path: "out.gguf.part")
    var damaged = before
    // Within the first layer's tensors.
    let index = damaged.count / 3
    damaged[index] ^= 1
    try damaged.write(to: url)
    #expect(try run(command).status == 0)
    #expect(data("out.gguf.part") == before)
  }

  @Test func sensitivities() throws {
    let command = [
      "sensitivity", tiny.path, "--calibration", text, "--bands", "2", "--windows", "2", "--no-importance", "-o",
    ]
    #expect(try run(command + [directory.path("whole.json")]).status == 0)
    _ = try joined(command + [directory.path("out.json")], output: "out.json", parts: [2, 1])
    #expect(data("out.json") == data("whole.json"))
    // The clock must not decide what parts measure.
    let limited = try run(command + [directory.path("a.json"), "--budget", "1h", "--part", "1/2"])
    #expect(limited.status == 64 && limited.error.contains("--budget"), "\(limited.error)")
    // Parts of other windows do not belong to the same run.
    #expect(try run(command + [directory.path("b.json"), "--part", "1/2"]).status == 0)
    let other = try run(command + [directory.path("b.json"), "--windows", "1", "--part", "2/2"])
    #expect(other.status == 65 && other.error.contains("number of windows to probe"), "\(other.error)")
  }

  @Test func comparisonsAndPerplexities() throws {
    #expect(try run(["convert", tiny.path, "--type", "Q8_0", "-o", directory.path("a.gguf")]).status == 0)
    for verb in ["drift", "perplexity"] {
      let command = [verb, tiny.path, directory.path("a.gguf"), "--text", text, "--ctx", "32", "--json"]
      let whole = try run(command)
      #expect(whole.status == 0, "\(whole.error)")
      let result = try joined(
        command + ["--journal", directory.path(verb)], output: verb, parts: [2, 3, 1])
      #expect(result.output == whole.output)
    }
  }

  /// A part that was damaged, or that is missing, is named with the command that does it.
  @Test func missingAndDamagedParts() throws {
    #expect(try run(imatrix("out.gguf", ["--part", "1/3"])).status == 0)
    let missing = try run(["join", directory.path("out.gguf")])
    #expect(missing.status == 66 && missing.error.contains("2 of 3 parts are missing: 2/3, 3/3"), "\(missing.error)")
    #expect(missing.error.contains("qtool imatrix") && missing.error.contains("--part 2/3"))
    for part in ["2/3", "3/3"] { #expect(try run(imatrix("out.gguf", ["--part", part])).status == 0) }
    let handle = try FileHandle(forWritingTo: directory.url.appending(path: "out.gguf.part-2-of-3.gguf"))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data([0]))
    try handle.close()
    let damaged = try run(["join", directory.path("out.gguf")])
    #expect(damaged.status == 65 && damaged.error.contains("of part 2/3"), "\(damaged.error)")
    #expect(data("out.gguf") == nil)
    // The part notices itself, and is done again.
    #expect(try run(imatrix("out.gguf", ["--part", "2/3"])).status == 0)
    #expect(try run(["join", directory.path("out.gguf")]).status == 0)
    let nothing = try run(["join", directory.path("out.gguf")])
    #expect(nothing.status == 66 && nothing.error.contains("has no finished parts"), "\(nothing.error)")
  }

  /// Parts of another text, and runs in another number of parts, are refused before any work.
  @Test func partsOfOtherRuns() throws {
    #expect(try run(imatrix("out.gguf", ["--part", "1/3"])).status == 0)
    let other = try run(imatrix("out.gguf", ["--part", "2/3", "--chunks", "4"]))
    #expect(other.status == 65 && other.error.contains("number of windows"), "\(other.error)")
    let count = try run(imatrix("out.gguf", ["--part", "2/4"]))
    #expect(count.status == 65 && count.error.contains("3, 4 parts"), "\(count.error)")
    let many = try run(imatrix("b.gguf", ["--part", "2/4000"]))
    #expect(many.status == 64 && many.error.contains("4000 parts of"), "\(many.error)")
    for part in ["0/3", "4/3", "x", "1/0", "-1/3", "1/3/5"] {
      #expect(try run(imatrix("b.gguf", ["--part", part])).status == 64)
    }
  }

  /// A run of the whole names the parts that are beside its output, and changes nothing.
  @Test func wholeRunsBesideParts() throws {
    let commands = [
      imatrix("i.gguf"), ["convert", tiny.path, "--type", "Q8_0", "-o", directory.path("c.gguf")],
      ["quantize", tiny.path, "--type", "Q8_0", "--no-feedback", "-o", directory.path("q.gguf")],
      [
        "sensitivity", tiny.path, "--calibration", text, "--bands", "1", "--no-importance", "-o",
        directory.path("s.json"),
      ],
      ["drift", tiny.path, tiny.path, "--text", text, "--ctx", "32", "--journal", directory.path("d")],
    ]
    for command in commands { #expect(try run(command + ["--part", "2/3"]).status == 0, "\(command[0])") }
    let before = directory.contents
    for command in commands {
      let result = try run(command)
      #expect(result.status == 65 && result.error.contains("has files of parts beside it: 2/3"), "\(result.error)")
      #expect(result.error.contains("qtool join"))
    }
    #expect(directory.contents == before)
  }

  /// Records of another version, of another part, and journals of unfinished parts of another run.
  @Test func foreignRecords() throws {
    for part in ["1/2", "2/2"] { #expect(try run(imatrix("out.gguf", ["--part", part])).status == 0) }
    let record = directory.url.appending(path: "out.gguf.part-2-of-2.json")
    let text = try String(contentsOf: record, encoding: .utf8)
    let version = try #require(text.firstMatch(of: /"version of qtool",\s*"value" : "([^"]*)"/)?.1)
    try text.replacing("\"\(version)\"", with: "\"0.0.1\"").write(to: record, atomically: true, encoding: .utf8)
    let versions = try run(["join", directory.path("out.gguf")])
    #expect(versions.status == 65 && versions.error.contains("version of qtool is"), "\(versions.error)")
    #expect(versions.error.contains("parts 1/2 and 2/2"))
    // A copy of another part's record.
    try FileManager.default.removeItem(at: record)
    try FileManager.default.copyItem(at: directory.url.appending(path: "out.gguf.part-1-of-2.json"), to: record)
    let doubled = try run(["join", directory.path("out.gguf")])
    #expect(doubled.status == 65 && doubled.error.contains("is not the record of part 2/2"), "\(doubled.error)")
    #expect(data("out.gguf") == nil)
    // Another pipeline has begun a part in the same folder, and not finished it.
    let journal = directory.url.appending(path: "b.gguf.part-1-of-2.journal")
    try "{\"fields\":[{\"name\":\"source model\",\"value\":\"other\"}]}\n"
      .write(to: journal, atomically: true, encoding: .utf8)
    let begun = try run(imatrix("b.gguf", ["--part", "2/2"]))
    #expect(begun.status == 65 && begun.error.contains("source model is other"), "\(begun.error)")
    let counts = try run(imatrix("b.gguf", ["--part", "2/3"]))
    #expect(counts.status == 65 && counts.error.contains("2, 3 parts"), "\(counts.error)")
  }

  /// The numbers of schedulers' jobs.
  @Test func arraysOfSchedulers() throws {
    let slurm = [
      "SLURM_ARRAY_TASK_ID": "6", "SLURM_ARRAY_TASK_MIN": "4", "SLURM_ARRAY_TASK_MAX": "6",
      "SLURM_ARRAY_TASK_STEP": "2", "SLURM_ARRAY_TASK_COUNT": "2",
    ]
    #expect(try run(imatrix("out.gguf"), slurm).output.contains("part 2/2"))
    #expect(try run(imatrix("out.gguf", ["--part", "/2"]), ["PBS_ARRAY_INDEX": "1"]).output.contains("part 1/2"))
    #expect(try run(["join", directory.path("out.gguf")]).status == 0)
    let grid = ["SGE_TASK_ID": "3", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "9", "SGE_TASK_STEPSIZE": "1"]
    #expect(try run(imatrix("grid.gguf", ["--part", "/3"]), grid).output.contains("part 3/3"))
    let gaps = slurm.merging(["SLURM_ARRAY_TASK_MAX": "12"]) { $1 }
    #expect(try run(imatrix("gaps.gguf"), gaps).status == 64)
    #expect(try run(imatrix("whole.gguf", ["--part", "1/1"]), slurm).output.contains("whole.gguf: "))
    let outside = try run(imatrix("b.gguf", ["--part", "/2"]))
    #expect(outside.status == 64 && outside.error.contains("no job of an array"), "\(outside.error)")
  }
}
