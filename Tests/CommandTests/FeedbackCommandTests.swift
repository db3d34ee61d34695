import Foundation
import GGUF
import TestSupport
import Testing

/// Error feedback through the binary, on the demo model.
@Suite(.serialized) struct FeedbackCommandTests {
  let qtool = Binary(beside: .module)
  private let calibration = ["--calibration", Repository.calibration + "/news.txt"]

  private func run(_ arguments: [String], status: Int32 = 0) throws -> Binary.Result {
    let result = try qtool.run(arguments)
    #expect(result.status == status, "\(arguments): \(result.error)")
    return result
  }

  private func quantize(_ path: String, _ options: [String], status: Int32 = 0) throws -> Binary.Result {
    try run(["quantize", Repository.demoModel, "-o", path] + options, status: status)
  }

  private func drifts(_ paths: [String]) throws -> [Double] {
    let text = Repository.root.appending(path: "Examples/held-out.txt").path
    let output = try run(["drift", Repository.demoModel] + paths + ["--text", text, "--chunks", "6", "--csv", "-q"])
      .output
    let lines = output.split(separator: "\n").map { $0.split(separator: ",", omittingEmptySubsequences: false) }
    let column = try #require(lines.first?.firstIndex(of: "kld"))
    return try paths.map { path in
      let line = try #require(lines.first { line in line.contains { !$0.isEmpty && path.hasSuffix($0) } })
      return try #require(Double(line[column]))
    }
  }

  /// Less drift at the same types and bytes, and the file says how it was made.
  @Test func feedbackLowersDrift() throws {
    let out = try TemporaryDirectory()
    let (plain, fed) = (out.path("plain.gguf"), out.path("fed.gguf"))
    _ = try quantize(plain, ["--type", "Q3_K_S", "--no-feedback"] + calibration)
    // Feedback is the default.
    let result = try quantize(fed, ["--type", "Q3_K_S"] + calibration)
    #expect(result.error.contains("error feedback: "), "\(result.error)")
    let drifts = try drifts([plain, fed])
    #expect(drifts[1] < 0.8 * drifts[0], "\(drifts)")
    let (a, b) = (try GGUFFile(path: plain), try GGUFFile(path: fed))
    #expect(a.tensors == b.tensors)
    #expect(b.metadata.optionalString("quantize.feedback.dataset") == "news.txt")
    #expect(b.metadata.optionalString("quantize.feedback.fingerprint")?.count == 64)
    #expect(b.metadata.optionalInt("quantize.feedback.effort") != nil)
    #expect(!a.metadata.keys.contains { $0.hasPrefix("quantize.feedback") })
  }

  /// A matrix alone holds no text: one line says so, and the file is that without feedback.
  @Test func anImportanceMatrixAloneCannotFeedBack() throws {
    let out = try TemporaryDirectory()
    let matrix = out.path("m.gguf")
    _ = try run(["imatrix", Repository.demoModel, "-o", matrix, "-q"] + calibration)
    let (asked, plain) = (out.path("asked.gguf"), out.path("plain.gguf"))
    let result = try quantize(asked, ["--type", "Q4_K_S", "--imatrix", matrix, "--feedback"])
    #expect(result.error.contains("--imatrix alone has no text to feed errors back by"), "\(result.error)")
    _ = try quantize(plain, ["--type", "Q4_K_S", "--imatrix", matrix, "--no-feedback"])
    #expect(try Data(contentsOf: URL(filePath: asked)) == Data(contentsOf: URL(filePath: plain)))
  }

  @Test func anArchitectureWithoutForwardPassIsRefused() throws {
    let out = try TemporaryDirectory()
    let (model, unknown) = (out.path("m.gguf"), out.path("unknown.gguf"))
    _ = try run(["convert", Repository.demoModel, "-o", model, "-q"])
    try rewriteGGUF(model, to: unknown, keys: ["general.architecture": .string("unknown")])
    let file = out.path("out.gguf")
    let result = try run(
      ["quantize", unknown, "--type", "Q4_K_S", "--feedback", "-o", file] + calibration, status: 65)
    #expect(
      result.error.contains("no forward pass for architecture 'unknown'") && result.error.contains("--no-feedback"),
      "\(result.error)")
    #expect(!FileManager.default.fileExists(atPath: file))
    _ = try run(["quantize", unknown, "--type", "Q4_K_S", "--no-feedback", "-o", file, "-q"])
    // Nobody asked for feedback: a note says that there is none.
    let plain = try run(["quantize", unknown, "--type", "Q4_K_S", "--force", "-o", file])
    #expect(plain.error.contains("written without error feedback: "), "\(plain.error)")
  }

  @Test(arguments: [
    ["--feedback", "--no-importance"], ["--no-feedback", "--effort", "3"], ["--effort", "4"],
  ])
  func contradictionsAreUsageErrors(options: [String]) throws {
    let out = try TemporaryDirectory()
    _ = try quantize(out.path("a.gguf"), ["--type", "Q4_K_S"] + options, status: 64)
    #expect(out.contents.isEmpty)
  }
}
