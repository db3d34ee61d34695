import GGUF
import Perplexity

/// The figures of several models on the same text and tasks, compared with the first model's.
struct PerplexityComparison: Encodable {
  let models: [PerplexityReport]

  private var first: PerplexityReport { models[0] }
  /// Models with other tokens, which can be compared only by bits per byte.
  private var others: [PerplexityReport] { models.filter { $0.sharesTokens == false } }

  var table: String {
    var parts: [String] = []
    if first.all != nil {
      parts.append(summary)
      if first.rows.count > 1 { parts.append(texts) }
    }
    if !first.tasks.isEmpty { parts.append(tasks) }
    if !others.isEmpty {
      parts.append(
        "perplexity is per token: \(others.map(\.model).joined(separator: ", ")) "
          + "\(others.count == 1 ? "has" : "have") other tokens than \(first.model), so compare bits/byte")
    }
    return parts.joined(separator: "\n\n")
  }

  private typealias Column = (title: String, alignment: Table.Alignment)
  private var ratioColumns: [Column] {
    [("ratio to first", .right), ("±", .right), ("95 % interval", .right)]
      + (others.isEmpty ? [] : [("bits/byte", .right), ("±", .right)])
  }

  /// The cells of ``ratioColumns``.
  private func ratio(_ row: PerplexityReport.Text) -> [String] {
    let ratio =
      row.againstFirst.map { comparison in
        [
          Figures.fixed(comparison.ratio.value, 4), Figures.fixed(comparison.ratio.error, 4),
          "\(Figures.fixed(comparison.interval.low, 4)) to \(Figures.fixed(comparison.interval.high, 4))",
        ]
      } ?? ["", "", ""]
    guard !others.isEmpty else { return ratio }
    return ratio + [Figures.fixed(row.bitsPerByte.value, 4), Figures.fixed(row.bitsPerByte.error, 4)]
  }

  /// One row per model, over all texts.
  private var summary: String {
    var table = Table(
      [
        ("model", .left), ("bytes", .right), ("bpw", .right), ("tokens scored", .right), ("perplexity", .right),
        ("±", .right),
      ] + ratioColumns)
    for model in models {
      guard let all = model.all else { continue }
      let perplexity = all.statistics.perplexity
      table.add(
        [
          model.model, Figures.grouped(model.bytes), Figures.fixed(model.bitsPerWeight, 3),
          Figures.grouped(all.statistics.positions), Figures.fixed(perplexity.value, 4),
          Figures.fixed(perplexity.error, 4),
        ] + ratio(all))
    }
    return table.rendered()
  }

  /// One row per text or kind of text, and model.
  private var texts: String {
    var table = Table(
      [
        ("text", .left), ("kind", .left), ("model", .left), ("windows", .right), ("perplexity", .right), ("±", .right),
      ] + ratioColumns)
    // The last row is for all texts, which are in the summary.
    for index in first.rows.indices.dropLast() {
      for model in models {
        let row = model.rows[index]
        let perplexity = row.statistics.perplexity
        table.add(
          [
            row.text, row.kind ?? "", model.model, "\(row.windows)", Figures.fixed(perplexity.value, 4),
            Figures.fixed(perplexity.error, 4),
          ] + ratio(row))
      }
    }
    return table.rendered()
  }

  private var tasks: String {
    var table = Table([
      ("task", .left), ("file", .left), ("model", .left), ("tasks", .right), ("correct", .right), ("accuracy", .right),
      ("±", .right), ("95 % interval", .right), ("minus first's", .right), ("±", .right), ("guessing", .right),
    ])
    for index in first.tasks.indices {
      for model in models {
        let task = model.tasks[index]
        let score = task.score
        table.add([
          task.task, task.file, model.model, "\(score.tasks)", "\(score.correct)",
          Figures.percent(score.accuracy.value), Figures.percent(score.accuracy.error),
          "\(Figures.fixed(score.interval.low * 100, 2)) to \(Figures.percent(score.interval.high))",
          task.againstFirst.map { Figures.percent($0.value) } ?? "",
          task.againstFirst.map { Figures.percent($0.error) } ?? "", Figures.percent(score.chance),
        ])
      }
    }
    return table.rendered()
  }

  /// The columns of a single model, followed by the comparison with the first: the ratio of perplexities, or the difference
  /// of accuracies.
  var csv: String {
    let header =
      PerplexityReport.csvHeader + [
        "ratio", "ratio_error", "ratio_low", "ratio_high", "difference", "difference_error", "bits_per_byte",
        "bits_per_byte_error",
      ]
    func cells(_ estimate: Estimate?) -> [String] { estimate.map { ["\($0.value)", "\($0.error)"] } ?? ["", ""] }
    let rows = models.flatMap { model in
      model.textCells.map { row, columns in
        let interval = row.againstFirst?.interval
        return columns + cells(row.againstFirst?.ratio) + (interval.map { ["\($0.low)", "\($0.high)"] } ?? ["", ""])
          + ["", ""] + cells(row.bitsPerByte)
      } + model.taskCells.map { row, columns in columns + ["", "", "", ""] + cells(row.againstFirst) + ["", ""] }
    }
    return ReportOptions.csv([header] + rows)
  }
}
