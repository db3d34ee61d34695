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

  /// Less drift at the same types and bytes; the header names text and effort.
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

  /// A matrix alone holds no text: a note reports that, and the file equals that without feedback.
  @Test func anImportanceMatrixAloneCannotFeedBack() throws {
    let out = try TemporaryDirectory()
    let matrix = out.path("m.gguf")
    _ = try run(["imatrix", Repository.demoModel, "-o", matrix, "-q"] + calibration)
    let (asked, plain) = (out.path("asked.gguf"), out.path("plain.gguf"))
    let refused = try quantize(asked, ["--type", "Q4_K_S", "--imatrix", matrix, "--feedback"], status: 64)
    #expect(refused.error.contains("--feedback needs a text"), "\(refused.error)")
    let result = try quantize(asked, ["--type", "Q4_K_S", "--imatrix", matrix])
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
    // Without --feedback, a note reports that errors are not fed back.
    let plain = try run(["quantize", unknown, "--type", "Q4_K_S", "--force", "-o", file])
    #expect(plain.error.contains("written without error feedback: "), "\(plain.error)")
  }

  /// A dry run names text, streams, bytes, memory and time, with feedback and without, and writes nothing.
  @Test func thePlanNamesThePass() throws {
    let result = try run(["quantize", Repository.demoModel, "--type", "Q3_K_S", "--dry-run"] + calibration)
    let lines = result.error.split(separator: "\n")
    #expect(lines.contains { $0 == "error feedback: effort 3, by news.txt" }, "\(result.error)")
    let with = try #require(lines.first { $0.hasPrefix("with feedback") })
    #expect(
      with.contains(" tokens in 2 streams, 8.") && with.contains(" MB of weights twice") && with.contains("up to "))
    let without = try #require(lines.first { $0.hasPrefix("--no-feedback") })
    #expect(without.contains(" MB of weights ") && without.hasSuffix(" s"))
  }

  /// The last comparison uses other text than the feedback, and names what it compares.
  @Test func aFittedFileIsComparedAsItIsWritten() throws {
    let out = try TemporaryDirectory()
    let (mix, file) = (out.path("mix.gguf"), out.path("fitted.gguf"))
    _ = try quantize(mix, ["--type", "Q2_K", "--effort", "1", "-q"] + calibration)
    let whole = try #require(try GGUFFile(path: mix).metadata.optionalInt("quantize.feedback.chunks_count"))
    let result = try quantize(
      file, ["--target", "1.6MB", "--no-search", "--budget", "20s", "--effort", "1"] + calibration)
    #expect(result.error.contains("\nfeedback "), "\(result.error)")
    let line = try #require(result.output.split(separator: "\n").first { $0.hasPrefix("KLD ") })
    let words = line.split(separator: " ")
    #expect(
      line.contains(" of this file, with error feedback; ")
        && line.contains(", the best stock mix of its size, without"))
    let index = try #require(words.firstIndex { $0.hasPrefix("window") })
    let windows = try #require(Int(words[index - 1]))
    let used = try #require(try GGUFFile(path: file).metadata.optionalInt("quantize.feedback.chunks_count"))
    #expect(windows > 0 && used + windows == whole)
    #expect(!out.contents.contains("fitted.gguf.mix"))
    // A dry run has no file to measure, and no figure.
    let dry = try run(
      ["quantize", Repository.demoModel, "--target", "1.6MB", "--no-search", "--budget", "20s", "--dry-run"]
        + calibration)
    #expect(!dry.output.contains("KLD") && dry.output.contains("is measured on the written file"), "\(dry.output)")
  }

  /// The importance of the pass is that of a pass of its own, which another run finds.
  @Test func importanceOfThePassIsKept() throws {
    let out = try TemporaryDirectory()
    let kept = try quantize(
      out.path("a.gguf"), ["--type", "Q2_K", "--effort", "1", "--save-imatrix"] + calibration)
    #expect(kept.error.contains("importance: "), "\(kept.error)")
    #expect(out.contents == ["a.gguf", "demo-model.imatrix.gguf"])
    let found = try quantize(out.path("b.gguf"), ["--type", "Q2_K", "--no-feedback"] + calibration)
    #expect(found.error.contains("importance matrix from an earlier run: "), "\(found.error)")
    #expect(out.contents == ["a.gguf", "b.gguf", "demo-model.imatrix.gguf"])
  }

  /// A weight that is not finite is named by file, tensor, row and column, as it is without feedback.
  @Test func nonFiniteWeightsAreNamed() throws {
    let (out, model) = (try TemporaryDirectory(), try DemoCopy())
    let url = model.directory.url.appending(path: "model.safetensors")
    var data = try Data(contentsOf: url)
    let header = data.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    let tensors = try #require(
      JSONSerialization.jsonObject(with: data[8..<8 + header]) as? [String: [String: Any]])
    let down = try #require(tensors["model.layers.2.mlp.down_proj.weight"]?["data_offsets"] as? [Int])
    // A half-precision NaN in row 17, column 33 of 768.
    let offset = 8 + header + down[0] + 2 * (17 * 768 + 33)
    (data[offset], data[offset + 1]) = (0x01, 0x7E)
    try data.write(to: url)
    let result = try run(
      ["quantize", model.path, "--type", "Q4_0", "--effort", "1", "-o", out.path("a.gguf"), "-q"] + calibration,
      status: 65)
    #expect(
      result.error.contains("tensor blk.2.ffn_down.weight: the weight in row 17, column 33 is NaN")
        && result.error.contains("--replace-nonfinite") && result.error.contains("model.safetensors"), "\(result.error)"
    )
    #expect(!out.contents.contains("a.gguf"))
  }

  @Test func contradictionsNameBothOptions() throws {
    let out = try TemporaryDirectory()
    let result = try quantize(out.path("a.gguf"), ["--type", "Q4_0", "--no-feedback", "--effort", "2"], status: 64)
    #expect(result.error.contains("--effort contradicts --no-feedback"), "\(result.error)")
  }

  @Test(arguments: [
    ["--feedback", "--no-feedback"], ["--feedback", "--no-importance"], ["--no-feedback", "--effort", "3"],
    ["--effort", "4"],
    ["--save-imatrix", "--no-feedback"], ["--save-imatrix", "--no-importance"],
    ["--save-imatrix", "--imatrix", "m.gguf"],
  ])
  func contradictionsAreUsageErrors(options: [String]) throws {
    let out = try TemporaryDirectory()
    _ = try quantize(out.path("a.gguf"), ["--type", "Q4_K_S"] + options, status: 64)
    #expect(out.contents.isEmpty)
  }
}
