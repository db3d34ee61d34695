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
    // The work of the parts is not done again by the process that joins.
    for part in ["1/2", "2/2"] { #expect(try run(command + [directory.path("b.gguf"), "--part", part]).status == 0) }
    try FileManager.default.removeItem(atPath: directory.path("b.gguf.part"))
    let lost = try run(["join", directory.path("b.gguf")])
    #expect(lost.status == 66 && lost.error.contains("b.gguf.part', into which the 2 parts wrote"), "\(lost.error)")
    #expect(data("b.gguf") == nil)
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

  /// Sections begin with the states that parts of the importance have kept, and have the bytes of a whole run.
  @Test func sectionsBeginWithKeptStates() throws {
    let states = directory.path("states")
    let command = [
      "quantize", Repository.demoModel, "--type", "Q4_0", "--effort", "1", "--feedback", "--calibration", text,
      "--feedback-sections", "3", "-o",
    ]
    #expect(try run(command + [directory.path("whole.gguf")]).status == 0)
    let measure = [
      "imatrix", Repository.demoModel, "--calibration", text, "--keep-states", states, "--feedback-sections", "3",
      "-o",
    ]
    #expect(try run(measure + [directory.path("whole.imatrix.gguf")]).status == 0)
    let whole = try FileManager.default.contentsOfDirectory(atPath: states)
    #expect(whole.count == 2 && whole.allSatisfy { $0.contains(".windows-0-") }, "\(whole)")
    try FileManager.default.removeItem(atPath: states)
    _ = try joined(measure + [directory.path("i.gguf")], output: "i.gguf", parts: [2, 1])
    #expect(data("i.gguf") == data("whole.imatrix.gguf"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: states).count == 4)
    let parts = command + [directory.path("out.gguf"), "--states", states]
    let begun = try qtool.run(parts + ["--part", "2/2", "--dry-run"])
    #expect(begun.error.contains("of states before layer 1, in \(states)"), "\(begun.error)")
    _ = try joined(parts, output: "out.gguf", parts: [2, 1])
    #expect(data("out.gguf") == data("whole.gguf"))
  }

  /// Layers with experts do not depend on each other: they are encoded in parts without sections, also with kept states.
  @Test func quantizingExpertsWithErrorFeedback() throws {
    let model = try ReferenceModel.copy("qwen3moe")
    let command = ["quantize", model.path, "--type", "Q4_0", "--feedback", "--calibration", text, "-o"]
    #expect(try run(command + [directory.path("whole.gguf")]).status == 0)
    _ = try joined(command + [directory.path("out.gguf")], output: "out.gguf", parts: [2, 1])
    #expect(data("out.gguf") == data("whole.gguf"))
    let states = directory.path("states")
    let kept = ["--keep-states", states, "--feedback-sections", "2"]
    #expect(
      try run(["imatrix", model.path, "--calibration", text, "-o", directory.path("i.gguf")] + kept).status == 0)
    _ = try joined(
      command + [directory.path("kept.gguf"), "--states", states], output: "kept.gguf", parts: [1, 2])
    #expect(data("kept.gguf") == data("whole.gguf"))
  }

  /// States that are missing, damaged, of another text, model or number of sections are refused by name before any work.
  @Test func refusedStates() throws {
    let states = directory.path("states")
    let kept = ["--keep-states", states, "--feedback-sections", "2"]
    let measure = ["imatrix", tiny.path, "--calibration", text, "-o", directory.path("i.gguf")] + kept
    let quantize = [
      "quantize", tiny.path, "--type", "Q4_0", "--feedback", "--calibration", text, "--feedback-sections", "2",
      "--states", states, "-o", directory.path("out.gguf"),
    ]
    let part = quantize + ["--part", "2/2"]
    func refusal(_ arguments: [String], _ status: Int32, _ words: String) throws {
      let result = try run(arguments)
      #expect(result.status == status && result.error.contains(words), "\(result.error)")
      #expect(!directory.contents.contains { $0.hasPrefix("out.gguf") }, "\(directory.contents)")
    }
    try refusal(part, 66, "states: has no states before layer 1")
    for one in ["1/2", "2/2"] { #expect(try run(measure + ["--part", one]).status == 0) }
    let names = try FileManager.default.contentsOfDirectory(atPath: states).sorted()
    #expect(names.count == 2 && names[0].hasPrefix("layer-1.windows-0-"), "\(names)")

    let other = directory.path("other.txt")
    try String(contentsOfFile: text, encoding: .utf8).replacing("Line 3 says", with: "Line 3 said")
      .write(toFile: other, atomically: true, encoding: .utf8)
    func replacing(_ old: String, _ new: String, _ arguments: [String]) -> [String] {
      arguments.map { $0 == old ? new : $0 }
    }
    try refusal(replacing(text, other, part), 65, "holds states of another run: text is")
    let model = try ReferenceModel.copy("mistral")
    try refusal(replacing(tiny.path, model.path, part), 65, "holds states of another run: source model is")
    // Another pipeline must not add its states to the folder.
    let second = replacing(directory.path("i.gguf"), directory.path("j.gguf"), replacing(text, other, measure))
    try refusal(second + ["--part", "1/2"], 65, "holds states of another run: text is")
    try refusal(quantize, 64, "--states: a run of the whole")
    try refusal(measure + ["--ctx", "48"], 64, "--keep-states contradicts --ctx")

    // A finished part whose states were removed is named, and done again.
    let first = states + "/" + names[0]
    let content = try #require(FileManager.default.contents(atPath: first))
    try FileManager.default.removeItem(atPath: first)
    let missing = try run(part)
    #expect(missing.status == 66 && missing.error.contains("states before layer 1 are missing for window"))
    #expect(missing.error.contains("qtool imatrix") && missing.error.contains("--part 1/2"), "\(missing.error)")
    #expect(try run(measure + ["--part", "1/2"]).status == 0)
    #expect(FileManager.default.contents(atPath: first) == content)

    // Files whose names say other windows than they hold.
    for name in ["layer-1.windows-0-4611686018427387904.gguf", "layer-1.windows-0-1.gguf"] where name != names[0] {
      try FileManager.default.moveItem(atPath: first, toPath: states + "/" + name)
      try refusal(part, 65, "\(name): holds another layer or other windows than its name says")
      try FileManager.default.moveItem(atPath: states + "/" + name, toPath: first)
    }

    // A file that ends early, and one with a changed number in the middle.
    try content.dropLast(200).write(to: URL(filePath: first))
    try refusal(part, 65, names[0])
    var changed = content
    changed[content.count - 4000] ^= 1
    try changed.write(to: URL(filePath: first))
    let damaged = try run(part)
    #expect(damaged.status == 65 && damaged.error.contains("another SHA-256"), "\(damaged.error)")
    #expect(damaged.error.contains("--part 1/2 --force"), "\(damaged.error)")
    try content.write(to: URL(filePath: first))
    #expect(try run(part).status == 0)
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
