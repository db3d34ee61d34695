import Foundation
import TestSupport
import Testing

/// imatrix, sensitivity and drift continue a killed run, and refuse to continue with other inputs.
@Suite struct ResumeCommandTests {
  private let qtool = Binary(beside: .module)
  private let directory: TemporaryDirectory
  private let text: String
  /// Two layers of 32 columns.
  private let tiny: DemoCopy
  /// A snapshot after every layer.
  private static let often = ["--snapshot-every", "0.000001"]

  init() throws {
    directory = try TemporaryDirectory()
    tiny = try ReferenceModel.copy("llama2")
    text = directory.path("text.txt")
    try (0..<80).map { "Line \($0) says what line \($0 * 7 % 80) left out.\n" }.joined()
      .write(toFile: text, atomically: true, encoding: .utf8)
  }

  private func imatrix(_ output: String, _ more: [String] = []) -> [String] {
    let common = ["imatrix", Repository.demoModel, "--calibration", text, "-o", directory.path(output), "--quiet"]
    return common + Self.often + more
  }

  private func sensitivity(_ output: String, _ more: [String] = []) -> [String] {
    [
      "sensitivity", tiny.path, "--calibration", text, "--bands", "1", "-o", directory.path(output), "--quiet",
    ] + more
  }

  private func drift(_ output: String, _ more: [String] = []) -> [String] {
    [
      "drift", Repository.demoModel, directory.path("a.gguf"), "--text", text, "--ctx", "64", "--save-reference",
      directory.path(output), "--quiet",
    ] + Self.often + more
  }

  private func makeCandidate() throws {
    let result = try qtool.run([
      "quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_K_M", "-o", directory.path("a.gguf"), "--quiet",
    ])
    #expect(result.status == 0, "\(result.error)")
  }

  @Test func killedImatrix() throws {
    try KilledRuns(qtool, directory, output: "out.gguf", kills: 10) { imatrix($0) }.survive()
  }

  @Test func killedSensitivity() throws {
    try KilledRuns(qtool, directory, output: "out.json", kills: 10) { sensitivity($0) }.survive()
  }

  @Test func killedDrift() throws {
    try makeCandidate()
    try KilledRuns(qtool, directory, output: "out.qref", kills: 10) { drift($0) }.survive()
  }

  /// Figures equal those of an uninterrupted run, for comparisons in one batch and in several.
  @Test(arguments: [[], ["--stop-at", "1e-9"]]) func killedComparison(_ more: [String]) throws {
    try makeCandidate()
    let command =
      [
        "drift", Repository.demoModel, directory.path("a.gguf"), "--text", text, "--ctx", "32", "--journal",
        directory.path("kept"), "--json", "--quiet",
      ] + Self.often + more
    let began = ContinuousClock.now
    let expected = try qtool.run(command)
    #expect(expected.status == 0, "\(expected.error)")
    let length = Double((ContinuousClock.now - began) / .seconds(1))
    for part in [0.3, 0.6, 0.9] { _ = try qtool.run(command, signal: SIGKILL, after: part * length) }
    let last = try qtool.run(command)
    #expect(last.status == 0 && last.output == expected.output, "\(last.error)")
    #expect(directory.contents == ["a.gguf", "text.txt"])
  }

  /// Stops a command by Ctrl-C when it has stored a snapshot.
  private func interrupt(_ command: [String], journal: String) throws {
    for delay in stride(from: 0.05, to: 2, by: 0.03) {
      let result = try qtool.run(command, interruptAfter: delay)
      if directory.contents.contains(journal) {
        #expect(result.status == 130 && result.error.contains("continue with: "), "\(result.status): \(result.error)")
        return
      }
      for name in directory.contents where name.hasPrefix("out.") {
        try FileManager.default.removeItem(atPath: directory.path(name))
      }
    }
    Issue.record("never interrupted while there was a journal")
  }

  private func refused(_ command: [String], _ field: String, location: SourceLocation = #_sourceLocation) throws {
    let before = directory.contents
    let result = try qtool.run(command)
    #expect(
      result.status == 65 && result.error.contains(field) && result.error.contains("--restart"), "\(result.error)",
      sourceLocation: location)
    #expect(directory.contents == before, sourceLocation: location)
  }

  @Test func anotherImatrixIsRefused() throws {
    try interrupt(imatrix("out.gguf"), journal: "out.gguf.journal")
    try refused(imatrix("out.gguf", ["--ctx", "128"]), "context size")
    try refused(imatrix("out.gguf", ["--chunks", "1"]), "number of windows")
    try refused(imatrix("out.gguf", ["--process-output"]), "choice to measure the output head")
    try refused(imatrix("out.gguf", ["--seed", "3", "--calibration", Repository.calibration]), "calibration files")
    try makeCandidate()
    var other = imatrix("out.gguf")
    other[1] = directory.path("a.gguf")
    try refused(other, "source model")
    #expect(try qtool.run(imatrix("out.gguf", ["--ctx", "128", "--restart"])).status == 0)
    #expect(directory.contents == ["a.gguf", "out.gguf", "text.txt"])
  }

  @Test func anotherSensitivityIsRefused() throws {
    try interrupt(sensitivity("out.json"), journal: "out.json.journal")
    try refused(sensitivity("out.json", ["--no-importance"]), "importance matrix")
    var other = sensitivity("out.json")
    other[other.firstIndex(of: "--bands")! + 1] = "2"
    try refused(other, "--bands")
    #expect(try qtool.run(other + ["--restart", "--no-importance"]).status == 0)
    #expect(directory.contents == ["out.json", "text.txt"])
  }

  @Test func anotherDriftIsRefused() throws {
    try makeCandidate()
    try interrupt(drift("out.qref"), journal: "out.qref.journal")
    try refused(drift("out.qref", ["--chunks", "3"]), "number of windows")
    var other = drift("out.qref")
    other[1] = directory.path("a.gguf")
    try refused(other, "base model")
    #expect(try qtool.run(drift("out.qref", ["--chunks", "3", "--restart"])).status == 0)
    #expect(directory.contents == ["a.gguf", "out.qref", "text.txt"])
  }

  /// A damaged snapshot is ignored.
  @Test func damagedSnapshotIsNotBelieved() throws {
    #expect(try qtool.run(imatrix("whole.gguf")).status == 0)
    try interrupt(imatrix("out.gguf"), journal: "out.gguf.journal")
    let states = try #require(directory.contents.first { $0.hasSuffix(".states.gguf") })
    let url = directory.url.appending(path: states)
    var data = try Data(contentsOf: url)
    data[data.count - 1000] ^= 1
    try data.write(to: url)
    #expect(try qtool.run(imatrix("out.gguf")).status == 0)
    #expect(
      try Data(contentsOf: directory.url.appending(path: "out.gguf"))
        == Data(contentsOf: directory.url.appending(path: "whole.gguf")))
    #expect(directory.contents == ["out.gguf", "text.txt", "whole.gguf"])
  }
}
