import Foundation
import TestSupport
import Testing

/// `qtool perplexity` with several models, through the binary.
@Suite struct PerplexityCommandTests {
  let qtool = Binary(beside: .module)
  let folder: TemporaryDirectory
  private let prose = Repository.root.appending(path: "Examples/held-out.txt").path
  private let code = Repository.calibration + "/code.txt"
  private let small: String

  init() throws {
    folder = try TemporaryDirectory()
    small = folder.path("small.gguf")
    try run("quantize", "--no-feedback", Repository.demoModel, "--type", "Q3_K_S", "-o", small, "--quiet")
  }

  @discardableResult
  private func run(_ arguments: String..., status: Int32 = 0, location: SourceLocation = #_sourceLocation) throws
    -> Binary.Result
  {
    let result = try qtool.run(arguments)
    #expect(result.status == status, "\(result.error)", sourceLocation: location)
    return result
  }

  /// The fields of the JSON that the tests read.
  private struct Estimate: Decodable, Equatable { let value, error: Double }
  private struct Model: Decodable {
    struct Text: Decodable {
      struct Statistics: Decodable {
        let positions: Int
        let loss, perplexity: Estimate
      }
      struct Comparison: Decodable {
        struct Interval: Decodable { let low, high: Double }
        let ratio, logRatio: Estimate
        let interval: Interval
      }
      let text: String
      let statistics: Statistics
      let bytesScored: Int
      let bitsPerByte: Estimate
      let againstFirst: Comparison?
    }
    struct Task: Decodable {
      struct Score: Decodable { let tasks, correct: Int }
      let score: Score
      let againstFirst: Estimate?
    }
    let model: String
    let bytes: Int
    let texts: [Text]
    let all: Text?
    let tasks: [Task]
    let sharesTokens: Bool?
  }
  private struct Comparison: Decodable { let models: [Model] }

  private func decode<T: Decodable>(_ type: T.Type, _ text: String) throws -> T {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(type, from: Data(text.utf8))
  }

  /// Each model has the same figures as alone, and ratios equal those of `drift`.
  @Test func severalModelsOnTheSameWindows() throws {
    let text = ["--text", prose, code, "--ctx", "128", "--chunks", "4"]
    let both = try qtool.run(["perplexity", Repository.demoModel, small, "--json", "--quiet"] + text)
    #expect(both.status == 0, "\(both.error)")
    let models = try decode(Comparison.self, both.output).models
    #expect(models.map(\.model) == ["demo-model", "small.gguf"])
    #expect(models[0].sharesTokens == nil && models[1].sharesTokens == true)
    #expect(models[0].all?.againstFirst == nil)
    for (model, path) in zip(models, [Repository.demoModel, small]) {
      let alone = try decode(
        Model.self, try qtool.run(["perplexity", path, "--json", "--quiet"] + text).output)
      #expect(alone.all?.statistics.perplexity == model.all?.statistics.perplexity && alone.bytes == model.bytes)
      #expect(alone.texts.map(\.statistics.loss) == model.texts.map(\.statistics.loss))
    }
    struct Drift: Decodable {
      struct Model: Decodable {
        struct Statistics: Decodable { let ratio, logRatio: Estimate }
        let statistics: Statistics
      }
      let models: [Model]
    }
    let drift = try decode(
      Drift.self, try qtool.run(["drift", Repository.demoModel, small, "--json", "--quiet"] + text).output)
    let expected = drift.models[0].statistics
    let found = try #require(models[1].all?.againstFirst)
    #expect(abs(found.ratio.value - expected.ratio.value) < 1e-9 * expected.ratio.value)
    #expect(
      abs(found.ratio.error - expected.ratio.error) < 1e-9 && abs(found.logRatio.value - expected.logRatio.value) < 1e-9
    )
    #expect(found.interval.low > 1 && found.interval.low < found.ratio.value && found.ratio.value < found.interval.high)

    let table = try qtool.run(["perplexity", Repository.demoModel, small, "--quiet"] + text).output
    let lines = table.split(separator: "\n").map(String.init)
    #expect(lines[0].contains("perplexity") && lines[0].contains("ratio to first") && !lines[0].contains("bits/byte"))
    #expect(lines[2].hasPrefix("demo-model ") && lines[3].hasPrefix("small.gguf "))
    #expect(lines[3].contains(String(format: "%.4f", found.ratio.value)), "\(table)")
    // Two models with two texts each.
    #expect(lines.filter { $0.hasPrefix("held-out.txt") || $0.hasPrefix("code.txt") }.count == 4)
    let csv = try qtool.run(["perplexity", Repository.demoModel, small, "--csv", "--quiet"] + text).output
    let cells = csv.split(separator: "\n").map { $0.split(separator: ",", omittingEmptySubsequences: false) }
    #expect(cells.count == 7 && Set(cells.map(\.count)).count == 1)
    let column = try #require(cells[0].firstIndex(of: "ratio"))
    #expect(Double(cells[6][column]) == found.ratio.value && cells[3][column].isEmpty)
  }

  /// Models with different tokens are compared by bits per byte.
  @Test func modelsWithOtherTokens() throws {
    let copy = try DemoCopy()
    try copy.replace("\"Ġp\": 283,\n      \"ing\": 284,", by: "\"Ġp\": 284,\n      \"ing\": 283,", in: "tokenizer.json")
    let other = copy.directory.url.lastPathComponent
    // Windows of 64 tokens, all except the first predicted: all bytes except those of the first and the last few tokens.
    let arguments = ["--text", prose, "--ctx", "64", "--stride", "63"]
    let result = try qtool.run(["perplexity", Repository.demoModel, copy.path, "--json", "--quiet"] + arguments)
    #expect(result.status == 0, "\(result.error)")
    let models = try decode(Comparison.self, result.output).models
    #expect(models[1].sharesTokens == false && models[1].all?.againstFirst == nil)
    let size = try FileManager.default.attributesOfItem(atPath: prose)[.size] as? Int ?? 0
    for model in models {
      let all = try #require(model.all)
      #expect(all.bytesScored < size && all.bytesScored > size - 64 * 16, "\(all.bytesScored) of \(size)")
      let bits = all.statistics.loss.value * Double(all.statistics.positions) / Double(all.bytesScored) / log(2)
      #expect(abs(all.bitsPerByte.value - bits) < 1e-9)
    }
    // Exchanged tokens are harder to predict.
    #expect(try #require(models[1].all).bitsPerByte.value > #require(models[0].all).bitsPerByte.value)
    let table = try qtool.run(["perplexity", Repository.demoModel, copy.path, "--quiet"] + arguments).output
    #expect(table.contains("bits/byte") && table.contains("\(other) has other tokens than demo-model"), "\(table)")
  }

  @Test func tasksOfSeveralModels() throws {
    let tasks = folder.path("tasks.txt")
    try (0..<6).map { "A person enters room \($0) and\n\($0 % 4)\nsits.\nflies.\nmelts.\nsings.\n" }.joined()
      .write(toFile: tasks, atomically: true, encoding: .utf8)
    let arguments = ["--hellaswag", tasks, "--quiet"]
    let result = try qtool.run(["perplexity", Repository.demoModel, small, "--json"] + arguments)
    #expect(result.status == 0, "\(result.error)")
    let models = try decode(Comparison.self, result.output).models
    let scores = models.map { $0.tasks[0].score }
    #expect(scores.map(\.tasks) == [6, 6] && models[0].tasks[0].againstFirst == nil)
    let difference = try #require(models[1].tasks[0].againstFirst)
    #expect(abs(difference.value - Double(scores[1].correct - scores[0].correct) / 6) < 1e-12)
    let table = try qtool.run(["perplexity", Repository.demoModel, small] + arguments).output
    #expect(table.split(separator: "\n").count == 4 && table.contains("minus first's"), "\(table)")
  }

  /// Plain text in place of a binary file of tasks is not called truncated.
  @Test func textInPlaceOfMultipleChoice() throws {
    let result = try run("perplexity", small, "--multiple-choice", prose, status: 65)
    #expect(
      result.error.hasPrefix("qtool: \(prose): is not a file of multiple-choice tasks"), "\(result.error)")
    #expect(!result.error.contains("truncated"))
  }

  /// An error in the last model is reported before the first one runs.
  @Test func badModelsAmongGood() throws {
    let twice = try run(
      "perplexity", Repository.demoModel, small, folder.path("../\(folder.url.lastPathComponent)/small.gguf"), "--text",
      prose, status: 64)
    #expect(twice.error.contains("small.gguf: is the same model as"), "\(twice.error)")
    let missing = try run("perplexity", Repository.demoModel, folder.path("none.gguf"), "--text", prose, status: 66)
    let unknown = folder.path("unknown.gguf")
    try rewriteGGUF(small, to: unknown, keys: ["general.architecture": .string("unknown")])
    let strange = try run("perplexity", Repository.demoModel, unknown, "--text", prose, status: 65)
    for result in [twice, missing, strange] {
      #expect(!result.error.contains("forward pass") && result.output.isEmpty, "\(result.error)")
    }
  }
}
