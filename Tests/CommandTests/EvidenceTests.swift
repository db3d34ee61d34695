import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// Files for a size by other models' evidence, through the binary.
@Suite struct EvidenceTests {
  let qtool = Binary(beside: .module)
  let out: TemporaryDirectory
  init() throws { out = try TemporaryDirectory() }

  /// The demo model under the name of an unknown architecture.
  private func foreign() throws -> String {
    let plain = out.path("plain.gguf")
    #expect(try qtool.run(["convert", Repository.demoModel, "-o", plain, "--quiet"]).status == 0)
    let source = try GGUFFile(path: plain)
    var metadata = source.metadata
    metadata["general.architecture"] = .string("novel")
    let writer = try GGUFWriter(
      path: out.path("novel.gguf"), layout: GGUFLayout(metadata: metadata, tensors: source.tensors), overwrite: false)
    for index in source.tensors.indices { try writer.copy(tensor: index, from: source) }
    try writer.commit()
    return out.path("novel.gguf")
  }

  @Test func anArchitectureWithoutAForwardPassIsFitted() throws {
    let model = try foreign()
    // By default, too: what can't be measured is said.
    for (name, more) in [("a", ["--budget", "0"]), ("b", [])] {
      let path = out.path("\(name).gguf")
      let result = try qtool.run(["quantize", model, "--target", "2MB", "-o", path] + more)
      #expect(result.status == 0, "\(result.error)")
      #expect(result.output.contains("evidence: prior") && result.output.contains("not measured on this model"))
      let isNoted = result.error.contains("architecture 'novel'")
      #expect(isNoted == more.isEmpty && result.error.contains("--imatrix"), "\(result.error)")
      let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? 0
      #expect(size <= 2_000_000 && size > 1_980_000, "\(size)")
      #expect(try GGUFFile(path: path).metadata.optionalString("quantize.evidence") == "prior")
    }
    #expect(
      try Data(contentsOf: URL(filePath: out.path("a.gguf"))) == Data(contentsOf: URL(filePath: out.path("b.gguf"))))
    let explained = try qtool.run(["explain", out.path("a.gguf")])
    #expect(explained.output.contains("evidence: prior") && explained.output.contains("gives these types"))
  }

  /// No pass means no text: nothing is kept beside the output, and the result does not depend on the clock or threads.
  @Test func aBudgetOfZeroRunsNothing() throws {
    var files: [Data] = []
    for threads in ["1", "2"] {
      let result = try qtool.run([
        "quantize", Repository.demoModel, "--target", "1.9MB", "--budget", "0", "--threads", threads, "-o",
        out.path("\(threads).gguf"),
      ])
      #expect(result.status == 0 && !result.error.contains("sensitivities from"), "\(result.error)")
      files.append(try Data(contentsOf: URL(filePath: out.path("\(threads).gguf"))))
    }
    #expect(files[0] == files[1] && out.contents == ["1.gguf", "2.gguf"])
    let dry = try qtool.run(["quantize", Repository.demoModel, "--target", "1.9MB", "--budget", "0", "--dry-run"])
    #expect(dry.output.contains("evidence: prior"))
    let refused = try qtool.run([
      "quantize", Repository.demoModel, "--target", "1.9MB", "--budget", "0", "--calibration", Repository.calibration,
      "--dry-run",
    ])
    #expect(refused.status == 64 && refused.error.contains("--calibration"), "\(refused.error)")
  }

  /// A budget that is too short for probes leaves the prior, and says how long they take.
  @Test func stagesBeyondABudgetAreNamed() throws {
    let command = [
      "quantize", Repository.demoModel, "--target", "1.9MB", "--no-importance", "--no-feedback", "--calibration",
      Repository.calibration, "--budget", "0.01s",
    ]
    let dry = try qtool.run(command + ["--dry-run"])
    #expect(dry.status == 0 && dry.error.contains("encoding"), "\(dry.error)")
    #expect(!["probes  ", "search  ", "comparison  "].contains { dry.error.contains($0) }, "\(dry.error)")
    let file = out.path("short.gguf")
    let result = try qtool.run(command + ["-o", file])
    #expect(result.status == 0 && result.output.contains("evidence: prior"), "\(result.error)")
    #expect(
      result.output.contains("left out, as the budget is too short: probes (at least ")
        && result.output.contains("search (at least ") && result.output.contains("comparison (at least "))
    #expect(try GGUFFile(path: file).metadata.optionalString("quantize.evidence") == "prior")
    // By the prior, so as without a budget.
    let prior = out.path("prior.gguf")
    #expect(
      try qtool.run([
        "quantize", Repository.demoModel, "--target", "1.9MB", "--no-importance", "--no-feedback", "--budget", "0",
        "-o", prior,
      ]).status == 0)
    let (one, other) = (try GGUFFile(path: file), try GGUFFile(path: prior))
    #expect(one.tensors.map(\.type) == other.tensors.map(\.type))
  }
}
