import Foundation
import TestSupport
import Testing

/// quantize with several sizes and mixes.
@Suite struct ManyFilesTests {
  private let qtool = Binary(beside: .module)
  private let directory: TemporaryDirectory
  private let demo: DemoCopy
  private let text: String

  init() throws {
    directory = try TemporaryDirectory()
    demo = try ReferenceModel.copy("llama2")
    text = directory.path("text.txt")
    try (0..<80).map { "Line \($0) says what line \($0 * 7 % 80) left out.\n" }.joined()
      .write(toFile: text, atomically: true, encoding: .utf8)
  }

  private func data(_ name: String) throws -> Data { try Data(contentsOf: directory.url.appending(path: name)) }

  private func quantize(_ options: [String], _ output: String) -> [String] {
    ["quantize", demo.path] + options + ["-o", directory.path(output), "--quiet"]
  }

  /// With feedback and without; each file equals that of a run of its own.
  @Test(arguments: [["--no-feedback"], ["--calibration", "TEXT", "--effort", "1"]])
  func filesEqualThoseOfSingleRuns(_ more: [String]) throws {
    let more = more.map { $0 == "TEXT" ? text : $0 }
    let mixes = ["Q4_0", "Q8_0", "F16"]
    for mix in mixes {
      let result = try qtool.run(quantize(more + ["--type", mix], "single-\(mix).gguf"))
      #expect(result.status == 0, "\(result.error)")
    }
    let result = try qtool.run(quantize(more + mixes.flatMap { ["--type", $0] }, "many-{mix}.gguf"))
    #expect(result.status == 0, "\(result.error)")
    for mix in mixes {
      #expect(result.output.contains("many-\(mix).gguf: "))
      #expect(try data("many-\(mix).gguf") == data("single-\(mix).gguf"))
    }
    #expect(
      Set(directory.contents)
        == Set(mixes.flatMap { ["many-\($0).gguf", "single-\($0).gguf"] } + ["text.txt"]))
  }

  /// A GGUF and MLX directories of one reading; each equals that of a run of its own.
  @Test func bothFormsInOneRun() throws {
    let both = [
      "--no-feedback", "--format", "gguf", "--format", "mlx", "--type", "Q8_0", "--type", "4bit", "--type", "COPY",
    ]
    let result = try qtool.run(quantize(both, "both-{mix}.{format}"))
    #expect(result.status == 0, "\(result.error)")
    var expected: Set<String> = ["text.txt"]
    for (format, type, mix) in [
      ("gguf", "Q8_0", "Q8_0"), ("gguf", "COPY", "COPY"), ("mlx", "4bit", "4bit-64"), ("mlx", "COPY", "COPY"),
    ] {
      let (name, single) = ("both-\(mix).\(format)", "single-\(mix).\(format)")
      expected.formUnion([name, single])
      let one = try qtool.run(quantize(["--no-feedback", "--format", format, "--type", type], single))
      #expect(one.status == 0, "\(one.error)")
      let files =
        format == "gguf"
        ? [""] : try FileManager.default.contentsOfDirectory(atPath: directory.path(name)).map { "/" + $0 }
      #expect(
        files.count
          == (format == "gguf" ? 1 : try FileManager.default.contentsOfDirectory(atPath: directory.path(single)).count))
      for file in files { #expect(try data(name + file) == data(single + file), "\(name + file)") }
    }
    #expect(Set(directory.contents) == expected)
    let unnamed = try qtool.run(quantize(both, "x-{mix}.gguf"))
    #expect(unnamed.status == 64 && unnamed.error.contains("{format}"), "\(unnamed.error)")
  }

  /// Runs are killed at several moments; the last one completes all files.
  @Test(arguments: [["--no-feedback"], ["--calibration", "TEXT", "--effort", "1"]])
  func killedRunsGoOnWithAllFiles(_ more: [String]) throws {
    let mixes = ["Q4_0", "Q5_1", "Q8_0"]
    let options = more.map { $0 == "TEXT" ? text : $0 } + mixes.flatMap { ["--type", $0] }
    let began = ContinuousClock.now
    let whole = try qtool.run(quantize(options, "whole-{mix}.gguf"))
    #expect(whole.status == 0, "\(whole.error)")
    let length = Double((ContinuousClock.now - began) / .seconds(1))
    for part in 1...10 {
      _ = try qtool.run(quantize(options, "out-{mix}.gguf"), signal: SIGKILL, after: Double(part) / 11 * length)
      for mix in mixes where directory.contents.contains("out-\(mix).gguf") {
        #expect(try data("out-\(mix).gguf") == data("whole-\(mix).gguf"))
      }
      // A run that was complete is not repeated.
      if mixes.allSatisfy({ directory.contents.contains("out-\($0).gguf") }) {
        for mix in mixes { try FileManager.default.removeItem(at: directory.url.appending(path: "out-\(mix).gguf")) }
      }
    }
    let last = try qtool.run(quantize(options, "out-{mix}.gguf"))
    #expect(last.status == 0, "\(last.error)")
    for mix in mixes { #expect(try data("out-\(mix).gguf") == data("whole-\(mix).gguf")) }
    #expect(
      Set(directory.contents)
        == Set(mixes.flatMap { ["out-\($0).gguf", "whole-\($0).gguf"] } + ["text.txt"]))
  }

  /// The name by GGUF's convention, in front of the mix.
  @Test func namesFollowTheConvention() throws {
    try "---\nmodel_basename: Tiny\nsize_label: 1M\nfinetune: Chat\nversion: v0.1\n---\n"
      .write(toFile: demo.path + "/README.md", atomically: true, encoding: .utf8)
    let result = try qtool.run(
      quantize(["--no-feedback", "--type", "Q4_0", "--type", "q8_0"], "{name}-{mix}.gguf"))
    #expect(result.status == 0, "\(result.error)")
    #expect(
      directory.contents.filter { $0 != "text.txt" } == ["Tiny-1M-Chat-v0.1-Q4_0.gguf", "Tiny-1M-Chat-v0.1-Q8_0.gguf"])
  }

  @Test func existingFilesAreNotReplaced() throws {
    try "mine".write(toFile: directory.path("out-Q8_0.gguf"), atomically: true, encoding: .utf8)
    let result = try qtool.run(quantize(["--no-feedback", "--type", "Q4_0", "--type", "Q8_0"], "out-{mix}.gguf"))
    #expect(result.status == 73 && result.error.contains("out-Q8_0.gguf: already exists"), "\(result.error)")
    #expect(directory.contents == ["out-Q8_0.gguf", "text.txt"])
  }
}
