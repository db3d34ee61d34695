import Foundation
import TestSupport
import Testing

/// Killing, interrupting and restarting the binary.
@Suite struct InterruptionTests {
  private let qtool = Binary(beside: Bundle.module)
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func arguments(_ output: String) -> [String] {
    [
      "quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_K_M", "-o", directory.path(output), "--quiet",
    ]
  }

  /// SIGKILL at random moments until fifty runs have died; every run that finishes has written the same bytes.
  @Test func killedRunsEndInTheSameBytes() throws {
    try KilledRuns(qtool, directory, output: "out.gguf", kills: 50) { arguments($0) }.survive()
  }

  /// Ctrl-C exits with 130 and prints the command that continues; another mix is refused, `--restart` starts over.
  @Test func interruptedRunPrintsTheCommandThatContinues() throws {
    var interrupted: Binary.Result?
    for delay in stride(from: 0.02, to: 0.6, by: 0.01) where interrupted == nil {
      let result = try qtool.run(arguments("out.gguf"), interruptAfter: delay)
      if result.status == 130 && result.error.contains("continue with") {
        interrupted = result
      } else {
        try? FileManager.default.removeItem(atPath: directory.path("out.gguf"))
      }
    }
    let result = try #require(interrupted)
    #expect(result.error.contains("--type Q4_K_M"))
    #expect(directory.contents == ["out.gguf.journal", "out.gguf.part"])

    var other = arguments("out.gguf")
    other[other.firstIndex(of: "Q4_K_M")!] = "Q5_K_M"
    let refused = try qtool.run(other)
    #expect(refused.status == 65)
    #expect(refused.error.contains("recipe") && refused.error.contains("--restart"))
    #expect(directory.contents == ["out.gguf.journal", "out.gguf.part"])

    #expect(try qtool.run(other + ["--restart"]).status == 0)
    #expect(directory.contents == ["out.gguf"])
  }

  @Test func verifyNamesTheFirstBadBlock() throws {
    #expect(try qtool.run(arguments("out.gguf") + ["--checksums"]).status == 0)
    #expect(directory.contents == ["out.gguf", "out.gguf.sha256"])
    let good = try qtool.run(["verify", directory.path("out.gguf"), "--quiet"])
    #expect(good.status == 0 && good.output.contains("checksums match"), "\(good.error)")

    // An empty file of checksums is itself the fault.
    try Data().write(to: directory.url.appending(path: "empty.sha256"))
    let empty = try qtool.run(
      ["verify", directory.path("out.gguf"), "--checksums", directory.path("empty.sha256"), "--quiet"])
    #expect(empty.status == 65, "\(empty.error)")
    #expect(empty.error.hasPrefix("qtool: \(directory.path("empty.sha256")): has no checksums"), "\(empty.error)")

    let url = directory.url.appending(path: "out.gguf")
    var data = try Data(contentsOf: url)
    // Changes a bit of a block in the last quarter.
    data[data.count * 3 / 4] ^= 4
    try data.write(to: url)
    let bad = try qtool.run(["verify", directory.path("out.gguf"), "--quiet"])
    #expect(bad.status == 65 && bad.error.contains("out.gguf: at byte ") && bad.error.contains("tensor "))
  }

  /// Every command that writes refuses the input's name, or a link to it, as output.
  @Test func outputThatIsAnInputIsRefused() throws {
    let (model, text, matrix) = (directory.path("a.gguf"), directory.path("a.txt"), directory.path("a.imatrix.gguf"))
    #expect(try qtool.run(["convert", Repository.demoModel, "-o", model, "--quiet"]).status == 0)
    try String(repeating: "Rain fell on the harbour. ", count: 200).write(
      toFile: text, atomically: true, encoding: .utf8)
    #expect(
      try qtool.run(["imatrix", model, "--calibration", text, "--chunks", "1", "-o", matrix, "--quiet"]).status == 0)
    try FileManager.default.createSymbolicLink(
      atPath: directory.path("link.gguf"), withDestinationPath: directory.path("a.gguf"))
    let before = try directory.contents.map { try Data(contentsOf: directory.url.appending(path: $0)) }
    let names = directory.contents
    for command in [
      ["quantize", "--no-feedback", model, "--type", "Q4_K_M", "-o", model],
      ["quantize", "--no-feedback", model, "--type", "Q4_K_M", "-o", "LINK"],
      ["quantize", "--no-feedback", model, "--type", "Q4_K_M", "--imatrix", matrix, "-o", matrix],
      ["quantize", "--no-feedback", model, "--type", "Q4_K_M", "--calibration", text, "-o", text],
      ["convert", model, "-o", "LINK"],
      ["imatrix", model, "--calibration", text, "-o", text], ["imatrix", "--merge", matrix, "-o", matrix],
      ["sensitivity", model, "--imatrix", matrix, "-o", matrix], ["sensitivity", model, "-o", "LINK"],
      ["drift", model, "--text", text, "--save-reference", "LINK"],
      ["drift", model, "--text", text, "--save-logits", text], ["report", model, "-o", "LINK"],
    ] {
      let result = try qtool.run(command.map { $0 == "LINK" ? directory.path("link.gguf") : $0 } + ["--force"])
      #expect(result.status == 64 && result.error.contains("is also an input"), "\(command): \(result.error)")
    }
    #expect(directory.contents == names)
    #expect(try names.map { try Data(contentsOf: directory.url.appending(path: $0)) } == before)
  }
}
