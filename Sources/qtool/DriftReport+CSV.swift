import Perplexity

extension DriftReport {
  /// One row per model and kind of text, all text first. Only the JSON has differences between models.
  var csv: String {
    var rows: [[String]] = []
    for model in models {
      func row(
        _ kind: String, _ windows: Int, _ statistics: DriftStatistics, _ interval: ConfidenceInterval,
        _ truncation: Truncation?
      ) {
        let figures = statistics.figures
        if rows.isEmpty {
          rows.append(
            ["model", "bytes", "bits_per_weight", "kind", "windows"]
              + figures.flatMap { $0.error == nil ? [$0.name] : [$0.name, $0.name + "_error"] }
              + ["kld_low", "kld_high", "truncation_bound"])
        }
        var cells = [model.name, "\(model.bytes)", "\(model.bitsPerWeight)", kind, "\(windows)"]
        for figure in figures {
          cells.append("\(figure.value)")
          if let error = figure.error { cells.append("\(error)") }
        }
        rows.append(cells + ["\(interval.low)", "\(interval.high)", truncation.map { "\($0.bound)" } ?? ""])
      }
      row("all", windows, model.statistics, model.interval, model.truncation)
      for kind in model.kinds { row(kind.kind, kind.windows, kind.statistics, kind.interval, kind.truncation) }
    }
    return ReportOptions.csv(rows)
  }
}
