import GGUF
import Perplexity

/// What `qtool perplexity` found.
struct PerplexityReport: Encodable {
  struct Text: Encodable {
    let text: String
    let kind: String?
    let windows: Int
    let statistics: LikelihoodStatistics
  }

  struct Task: Encodable {
    let task: String
    let file: String
    let score: TaskScore
  }

  let model: String
  let bytes: Int
  let bitsPerWeight: Double
  private(set) var context: Int?
  private(set) var stride: Int?
  private(set) var texts: [Text] = []
  /// A row a kind, where there are several and some kind has several texts.
  private(set) var kinds: [Text] = []
  private(set) var all: Text?
  var tasks: [Task] = []

  init(_ source: any ModelSource) {
    model = source.name
    (bytes, bitsPerWeight) = DriftTable.storage(of: source)
  }

  mutating func add(_ likelihood: Likelihood, _ windows: ScoringWindows) {
    context = windows.context
    if windows.scored.lowerBound != windows.context / 2 { stride = windows.scored.count }
    func row(_ name: String, _ kind: String?, _ rows: [Range<Int>]) -> Text {
      Text(
        text: name, kind: kind, windows: rows.reduce(0) { $0 + $1.count } / windows.scored.count,
        statistics: likelihood.statistics(rows: rows))
    }
    texts = windows.parts.map { row($0.name, $0.kind, [windows.rows(ofWindows: $0.windows)]) }
    let kinds = windows.kinds
    if kinds.count > 1, kinds.count < texts.count {
      self.kinds = kinds.map { row("all \($0)", $0, windows.rows(ofKind: $0)) }
    }
    all = row("all", nil, [0..<windows.rowCount])
  }

  private var rows: [Text] { texts + kinds + (texts.count > 1 ? [all].compactMap { $0 } : []) }

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

  var csv: String {
    let header = [
      "model", "measure", "name", "kind", "samples", "value", "error", "low", "high", "loss", "loss_error", "windows",
    ]
    let texts = rows.map { row in
      let perplexity = row.statistics.perplexity
      let loss = row.statistics.loss
      return [
        model, "perplexity", row.text, row.kind ?? "", "\(row.statistics.positions)", "\(perplexity.value)",
        "\(perplexity.error)", "", "", "\(loss.value)", "\(loss.error)", "\(row.windows)",
      ]
    }
    let tasks = self.tasks.map { task in
      [
        model, "accuracy", task.file, task.task, "\(task.score.tasks)", "\(task.score.accuracy.value)",
        "\(task.score.accuracy.error)", "\(task.score.interval.low)", "\(task.score.interval.high)", "", "", "",
      ]
    }
    return ReportOptions.csv([header] + texts + tasks)
  }
}
