import Foundation
import TestSupport
import Testing

/// `qtool drift` and `qtool perplexity` through the binary, on the demo model.
@Suite struct DriftCommandTests {
  let qtool = Binary(beside: .module)
  let folder: TemporaryDirectory
  private let prose = Repository.root.appending(path: "Examples/held-out.txt").path
  private let code = Repository.calibration + "/code.txt"

  init() throws { folder = try TemporaryDirectory() }

  /// The fields of the JSON that the tests read.
  private struct Report: Decodable {
    struct Estimate: Decodable { let value, error: Double }
    struct Interval: Decodable { let low, high: Double }
    struct Statistics: Decodable {
      let positions: Int
      let divergence, perplexity, basePerplexity, sameTop: Estimate
    }
    struct Truncation: Decodable { let bound, least, most: Double }
    struct Kind: Decodable {
      let kind: String
      let windows: Int
      let statistics: Statistics
    }
    struct Model: Decodable {
      let name: String
      let statistics: Statistics
      let interval: Interval
      let kinds: [Kind]
      let truncation: Truncation?
    }
    struct Comparison: Decodable {
      let one, other: String
      let difference: Estimate
      let interval: Interval
    }
    let windows, windowsAvailable: Int
    let models: [Model]
    let comparisons: [Comparison]
  }

  private func run(_ arguments: String..., status: Int32 = 0, location: SourceLocation = #_sourceLocation) throws
    -> Binary.Result
  {
    let result = try qtool.run(arguments + ["--quiet"])
    #expect(result.status == status, "\(result.error)", sourceLocation: location)
    return result
  }

  private func report(_ arguments: [String]) throws -> Report {
    let result = try qtool.run(["drift"] + arguments + ["--json", "--quiet"])
    #expect(result.status == 0, "\(result.error)")
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(Report.self, from: Data(result.output.utf8))
  }

  private func quantized(_ type: String) throws -> String {
    let path = folder.path("demo-\(type).gguf")
    _ = try run("quantize", "--no-feedback", Repository.demoModel, "--type", type, "-o", path)
    return path
  }

  /// The model, its compact reference and a file in llama-perplexity's format give the same figures of two candidates.
  @Test func allFormsOfABaseAgree() throws {
    let (large, small) = (try quantized("Q4_K_M"), try quantized("Q2_K"))
    let (reference, logits) = (folder.path("base.qref"), folder.path("base.logits"))
    let text = ["--text", prose, code, "--chunks", "3"]
    let direct = try report(
      [Repository.demoModel, large, small, "--save-reference", reference, "--save-logits", logits] + text)
    #expect(direct.windows == 6 && direct.windowsAvailable == 6)
    #expect(direct.models.map(\.name) == ["demo-Q4_K_M.gguf", "demo-Q2_K.gguf"])
    #expect(direct.models[0].kinds.map(\.kind) == ["prose", "code"])
    #expect(direct.models[0].kinds.map(\.windows) == [3, 3])
    let means = direct.models.map(\.statistics.divergence.value)
    #expect(means[0] > 0.001 && means[0] < means[1] / 3, "\(means)")
    #expect(direct.comparisons.count == 1 && direct.comparisons[0].interval.high < 0)
    #expect(abs(direct.comparisons[0].difference.value - (means[0] - means[1])) < 1e-9)

    let compact = try report([reference, large, small])
    let clamped = try report([logits, large, small, "--text", prose, code, "--chunks", "3"])
    for index in 0..<2 {
      let exact = direct.models[index].statistics
      let truncation = try #require(compact.models[index].truncation)
      #expect(abs(compact.models[index].statistics.divergence.value - exact.divergence.value) <= truncation.bound)
      #expect(truncation.bound < 1e-3)
      // 16 bits over 16 nats: a step of 2.4e-4, an error of at most half a step per token, and lower values left out.
      #expect(abs(clamped.models[index].statistics.divergence.value - exact.divergence.value) < 5e-4)
      for other in [compact.models[index].statistics, clamped.models[index].statistics] {
        #expect(abs(other.perplexity.value - exact.perplexity.value) < 1e-6)
        #expect(other.positions == exact.positions)
      }
    }
    // A value that is rounded to zero has no sign.
    let itself = try run("drift", logits, Repository.demoModel)
    #expect(itself.output.contains(" 0.000000") && !itself.output.contains(#/-0\.0+ /#), "\(itself.output)")
    // A reference is refused if its text or its base differs.
    _ = try run("drift", reference, large, "--text", prose, code)
    for (arguments, field) in [
      (["--text", code, prose], "text digest"), (["--ctx", "256"], "context size"), (["--stride", "100"], "stride"),
    ] {
      let result = try qtool.run(["drift", reference, large, "--quiet"] + arguments)
      #expect(result.status == 65 && result.error.contains("the \(field) differs"), "\(result.error)")
    }
    let other = try run("drift", large, small, "--reference", reference, status: 65)
    #expect(other.error.contains("the model fingerprint differs"))
    let moved = try run("drift", logits, large, "--text", code, status: 65)
    #expect(moved.error.contains("differs"), "\(moved.error)")

    for (path, length) in [(reference, 20_000), (logits, 3_000_000)] {
      let cut = path + ".cut"
      try Data(contentsOf: URL(filePath: path)).prefix(length).write(to: URL(filePath: cut))
      let result = try run("drift", cut, large, status: 65)
      #expect(result.error.contains(cut) && result.output.isEmpty, "\(result.error)")
    }
  }

  @Test func stopsEarlyAndFailsAbove() throws {
    let small = try quantized("Q2_K")
    let stopped = try report(
      [Repository.demoModel, small, "--ctx", "64", "--stop-at", "10", "--text", prose])
    #expect(stopped.windows == 32 && stopped.windowsAvailable > 48)
    let interval = stopped.models[0].interval
    #expect(interval.high - interval.low < 10)
    let failed = try run(
      "drift", Repository.demoModel, small, "--text", prose, "--chunks", "1", "--fail-above", "0.001", status: 1)
    #expect(failed.error.contains("above 0.001") && failed.output.contains("mean KLD"))
    let passed = try run(
      "drift", Repository.demoModel, small, "--text", prose, "--chunks", "1", "--fail-above", "9", "--csv")
    let lines = passed.output.split(separator: "\n").map { $0.split(separator: ",", omittingEmptySubsequences: false) }
    #expect(lines.count == 2 && lines[0].count == lines[1].count && lines[0].contains("kld_0.999"))
  }

  @Test func aModelWithoutAText() throws {
    let result = try run("drift", Repository.demoModel, Repository.demoModel, status: 64)
    #expect(result.error.contains("there is no text") && result.error.contains("hint: name text with --text"))
  }

  @Test func vocabulariesThatDiffer() throws {
    let copy = try DemoCopy()
    try copy.replace("\"Ġp\": 283,\n      \"ing\": 284,", by: "\"Ġp\": 284,\n      \"ing\": 283,", in: "tokenizer.json")
    let result = try run("drift", Repository.demoModel, copy.path, "--text", prose, status: 65)
    #expect(result.error.contains("vocabularies differ: token 283 is 'Ġp'"), "\(result.error)")
    _ = try run(
      "drift", Repository.demoModel, "--save-reference", folder.path("r.qref"), "--text", prose, "--chunks", "1")
    let stored = try run("drift", folder.path("r.qref"), copy.path, status: 65)
    #expect(stored.error.contains("the tokenizer digest differs"), "\(stored.error)")
  }

  /// The error of a NaN weight names the layer and the position, and no reference is left.
  @Test(arguments: [
    ("model.layers.1.mlp.down_proj.weight", "layer 1", "blk.1.ffn_down.weight"),
    ("model.layers.2.self_attn.v_proj.weight", "layer 2", "blk.2.attn_v.weight"),
    ("model.layers.0.mlp.up_proj.weight", "layer 0", "blk.0.ffn_up.weight"),
  ])
  func weightsThatAreNoNumbers(tensor: String, layer: String, name: String) throws {
    let copy = try DemoCopy()
    try copy.poison(tensor)
    let result = try run(
      "drift", copy.path, "--save-reference", folder.path("r.qref"), "--text", prose, status: 65)
    #expect(
      result.error.contains(layer) && result.error.contains(name) && result.error.contains("at position 0 of window 0"),
      "\(result.error)")
    #expect(folder.contents.isEmpty)
  }

  /// Tokens, windows, forward pass, softmax and statistics agree with PyTorch in double precision.
  @Test func agreesWithDoublePrecision() throws {
    let golden = try #require(Bundle.module.url(forResource: "Fixtures/drift", withExtension: "json"))
    let expected = try JSONDecoder().decode([String: Double].self, from: Data(contentsOf: golden))
    let coarse = try DemoCopy()
    try coarse.changeHalves { $0 & 0xFF80 }
    let result = try run(
      "drift", Repository.demoModel, coarse.path, "--text", prose, "--ctx", "128", "--chunks", "4", "--csv")
    let rows = result.output.split(separator: "\n").map { $0.split(separator: ",", omittingEmptySubsequences: false) }
    for (name, value) in expected {
      let column = try #require(rows[0].firstIndex { $0 == name }, "\(name)")
      let ours = try #require(Double(rows[1][column]))
      #expect(abs(ours - value) < 1e-4 * max(1, abs(value)), "\(name): \(ours), not \(value)")
    }
  }

  @Test func perplexityOfSeveralTexts() throws {
    struct Row: Decodable {
      struct Statistics: Decodable { let perplexity: Report.Estimate }
      let text: String
      let kind: String?
      let windows: Int
      let statistics: Statistics
    }
    struct Document: Decodable {
      let texts: [Row]
      let all: Row
      let stride: Int?
    }
    let result = try run(
      "perplexity", Repository.demoModel, "--text", prose, code, "--ctx", "128", "--stride", "32", "--chunks", "2",
      "--json")
    let document = try JSONDecoder().decode(Document.self, from: Data(result.output.utf8))
    #expect(document.texts.map(\.text) == ["held-out.txt", "code.txt"] && document.stride == 32)
    #expect(document.texts.map(\.kind) == ["prose", "code"])
    #expect(document.all.windows == 4 && document.all.statistics.perplexity.error > 0)
    let table = try run("perplexity", Repository.demoModel, "--text", prose, code, "--ctx", "128", "--chunks", "2")
    #expect(table.output.split(separator: "\n").count == 5, "\(table.output)")
  }
}
