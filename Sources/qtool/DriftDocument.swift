import GGUF
import Perplexity

/// The JSON and CSV output of `qtool drift`.
struct DriftDocument: Encodable {
  struct Base: Encodable {
    let name: String
    /// `model`, `compact reference` or `logits file`.
    let form: String
    let bytes: Int
    let bitsPerWeight: Double?
    let provenance: Provenance?
  }

  struct Text: Encodable {
    let name: String
    let kind: String
    let windows: Int
  }

  struct Model: Encodable {
    let name: String
    let bytes: Int
    let bitsPerWeight: Double
    let statistics: DriftStatistics
    let interval: ConfidenceInterval
    let kinds: [ModelDrift.Kind]
    let truncation: Truncation?
  }

  let base: Base
  let texts: [Text]
  let context: Int
  let positionsPerWindow: Int
  let windows: Int
  /// Number of windows of the text; more than `windows` if the comparison stopped early.
  let windowsAvailable: Int
  let models: [Model]
  let comparisons: [DriftComparison]

  init(_ report: DriftReport, base: DriftBase, models: [any ModelSource], windows: ScoringWindows, available: Int) {
    switch base {
    case .model(let source):
      let (bytes, bits) = DriftTable.storage(of: source)
      self.base = Base(name: source.name, form: "model", bytes: bytes, bitsPerWeight: bits, provenance: nil)
    case .compact(let reference):
      self.base = Base(
        name: base.name, form: "compact reference", bytes: reference.byteCount, bitsPerWeight: nil,
        provenance: reference.provenance)
    case .logits(let file):
      self.base = Base(
        name: base.name, form: "logits file", bytes: file.byteCount, bitsPerWeight: nil, provenance: nil)
    }
    texts = windows.names.map { name in
      let rows = windows.rows(ofText: name).reduce(0) { $0 + $1.count }
      return Text(
        name: name, kind: windows.parts.first { $0.name == name }?.kind ?? "", windows: rows / windows.scored.count)
    }
    context = report.context
    positionsPerWindow = windows.scored.count
    self.windows = report.windows
    windowsAvailable = available
    self.models = zip(models, report.models).map { source, drift in
      let (bytes, bits) = DriftTable.storage(of: source)
      return Model(
        name: drift.name, bytes: bytes, bitsPerWeight: bits, statistics: drift.statistics, interval: drift.interval,
        kinds: drift.kinds, truncation: drift.truncation)
    }
    comparisons = report.comparisons
  }

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
