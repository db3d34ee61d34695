import GGUF
import Perplexity

/// The figures of one model in `qtool perplexity`.
struct PerplexityReport: Encodable {
  struct Text: Encodable {
    let text: String
    let kind: String?
    let windows: Int
    let statistics: LikelihoodStatistics
    /// Bytes of text of the scored tokens, and their loss in bits per byte.
    let bytesScored: Int
    let bitsPerByte: Estimate
    /// Comparison with the first of several models; nil for the first, and if tokens differ.
    let againstFirst: LikelihoodComparison?
  }

  struct Task: Encodable {
    let task: String
    let file: String
    let score: TaskScore
    /// Accuracy minus that of the first of several models, task by task; nil for the first.
    let againstFirst: Estimate?
    /// Whether each task was answered correctly.
    let answers: [Bool]

    private enum CodingKeys: CodingKey { case task, file, score, againstFirst }
  }

  let model: String
  let bytes: Int
  let bitsPerWeight: Double
  private(set) var context: Int?
  private(set) var stride: Int?
  private(set) var texts: [Text] = []
  /// One row per kind, if there are several kinds and one of them has several texts.
  private(set) var kinds: [Text] = []
  private(set) var all: Text?
  private(set) var tasks: [Task] = []
  /// Whether the windows equal those of the first of several models, token by token; nil for the first.
  var sharesTokens: Bool?

  init(_ source: any ModelSource, named name: String) {
    model = name
    let size = ModelSize(source)
    (bytes, bitsPerWeight) = (size.bytes, size.bitsPerWeight)
  }

  /// - Parameters:
  ///   - textBytes: bytes of text of a token.
  ///   - first: the first model's losses on the same tokens.
  mutating func add(
    _ likelihood: Likelihood, _ windows: ScoringWindows, textBytes: (Int32) -> Int, comparedWith first: Likelihood?
  ) {
    context = windows.context
    if windows.scored.lowerBound != windows.context / 2 { stride = windows.scored.count }
    func row(_ name: String, _ kind: String?, _ rows: [Range<Int>]) -> Text {
      let statistics = likelihood.statistics(rows: rows)
      let bytes = rows.reduce(0) { $0 + windows.targets[$1].reduce(0) { $0 + textBytes($1) } }
      return Text(
        text: name, kind: kind, windows: rows.reduce(0) { $0 + $1.count } / windows.scored.count,
        statistics: statistics, bytesScored: bytes, bitsPerByte: statistics.bitsPerByte(bytes: bytes),
        againstFirst: first.map {
          LikelihoodComparison(likelihood, with: $0, rows: rows, rowsPerWindow: windows.scored.count)
        })
    }
    texts = windows.parts.map { row($0.name, $0.kind, [windows.rows(ofWindows: $0.windows)]) }
    let kinds = windows.kinds
    if kinds.count > 1, kinds.count < texts.count {
      self.kinds = kinds.map { row("all \($0)", $0, windows.rows(ofKind: $0)) }
    }
    all = row("all", nil, [0..<windows.rowCount])
  }

  mutating func add(
    _ answers: [Bool], of tasks: [ChoiceTask], name: String, file: String, comparedWith first: [Bool]?
  ) {
    let difference = first.map { first in
      Estimate(meanOf: zip(answers, first).map { ($0 ? 1 : 0) - ($1 ? 1 : 0) })
    }
    self.tasks.append(
      Task(
        task: name, file: file, score: TaskScore(answers: answers, of: tasks), againstFirst: difference,
        answers: answers))
  }

  /// Rows of texts, of kinds of text, and of all texts together.
  var rows: [Text] { texts + kinds + (texts.count > 1 ? [all].compactMap { $0 } : []) }

  var table: String {
    var parts: [String] = []
    if !texts.isEmpty {
      var table = Table([
        ("text", .left), ("kind", .left), ("windows", .right), ("tokens scored", .right), ("perplexity", .right),
        ("±", .right),
      ])
      for row in rows {
        table.add([
          row.text, row.kind ?? "", "\(row.windows)", Figures.grouped(row.statistics.positions),
          Figures.fixed(row.statistics.perplexity.value, 4), Figures.fixed(row.statistics.perplexity.error, 4),
        ])
      }
      parts.append(table.rendered())
    }
    if !tasks.isEmpty {
      var table = Table([
        ("task", .left), ("file", .left), ("tasks", .right), ("correct", .right), ("accuracy", .right), ("±", .right),
        ("95 % interval", .right), ("guessing", .right),
      ])
      for task in tasks {
        let score = task.score
        table.add([
          task.task, task.file, "\(score.tasks)", "\(score.correct)", Figures.percent(score.accuracy.value),
          Figures.percent(score.accuracy.error),
          "\(Figures.fixed(score.interval.low * 100, 2)) to \(Figures.percent(score.interval.high))",
          Figures.percent(score.chance),
        ])
      }
      parts.append(table.rendered())
    }
    return parts.joined(separator: "\n\n")
  }

  static let csvHeader = [
    "model", "measure", "name", "kind", "samples", "value", "error", "low", "high", "loss", "loss_error", "windows",
  ]

  var csv: String { ReportOptions.csv([Self.csvHeader] + textCells.map(\.cells) + taskCells.map(\.cells)) }

  var textCells: [(row: Text, cells: [String])] {
    rows.map { row in
      let perplexity = row.statistics.perplexity
      let loss = row.statistics.loss
      return (
        row,
        [
          model, "perplexity", row.text, row.kind ?? "", "\(row.statistics.positions)", "\(perplexity.value)",
          "\(perplexity.error)", "", "", "\(loss.value)", "\(loss.error)", "\(row.windows)",
        ]
      )
    }
  }

  var taskCells: [(row: Task, cells: [String])] {
    tasks.map { task in
      (
        task,
        [
          model, "accuracy", task.file, task.task, "\(task.score.tasks)", "\(task.score.accuracy.value)",
          "\(task.score.accuracy.error)", "\(task.score.interval.low)", "\(task.score.interval.high)", "", "", "",
        ]
      )
    }
  }
}
