import Foundation
import Perplexity

extension ReportPage {
  /// One comparison for each text, base and context, whose figures are comparable.
  var comparisons: [[String: Any]] {
    var groups: [[DriftReport]] = []
    for drift in drifts where !drift.models.isEmpty {
      if let index = groups.firstIndex(where: { $0[0].isComparable(with: drift) }) {
        groups[index].append(drift)
      } else {
        groups.append([drift])
      }
    }
    return groups.map(comparison)
  }

  private func comparison(_ drifts: [DriftReport]) -> [String: Any] {
    var seen = Set<String>()
    let models = drifts.flatMap(\.models).filter { seen.insert("\($0.bytes) \($0.name)").inserted }
    let points = models.map { model in
      ScatterPlot.Point(
        name: model.name, gigabytes: Double(model.bytes) * 1e-9, divergence: model.statistics.divergence.value,
        interval: model.interval.low...max(model.interval.low, model.interval.high), isSubject: isSubject(model))
    }.filter { $0.divergence > 0 }
    let front = Set(ScatterPlot.front(points).map(\.name))
    let rows = models.sorted { ($0.bytes, $0.name) < ($1.bytes, $1.name) }.map { model -> [String: Any] in
      let statistics = model.statistics
      let worst = statistics.divergenceQuantiles.min { abs($0.fraction - 0.999) < abs($1.fraction - 0.999) }
      return [
        "name": model.name, "strong": isSubject(model) && !files.isEmpty, "size": SizeUnit.text(bytes: model.bytes),
        "bits": String(format: "%.2f", model.bitsPerWeight), "kld": plain(statistics.divergence.value),
        "error": plain(statistics.divergence.error, significant: 2), "worst": worst.map { plain($0.value) } ?? "",
        "top": plain(statistics.sameTop.value * 100) + " %", "perplexity": plain(statistics.perplexity.value),
        "front": front.contains(model.name),
      ]
    }
    var result: [String: Any] = [
      "rows": rows, "base": drifts[0].base.name, "text": drifts[0].texts.map(\.name).joined(separator: ", "),
      "context": drifts[0].context,
      "positions": grouped(models.map(\.statistics.positions).max() ?? 0),
      "basePerplexity": models.first.map { plain($0.statistics.basePerplexity.value) } ?? "",
    ]
    if points.count > 1 {
      var plot = chart { ScatterPlot(points: points).drawn(width: $0) }
      plot["hasBoth"] = Set(points.map(\.isSubject)).count == 2
      result["plot"] = plot
    }
    return result
  }

  /// A chart by kind of text for each of the page's files, or for all models if the page has no files.
  var kinds: [[String: Any]] {
    drifts.flatMap(\.models).filter { isSubject($0) && $0.kinds.count > 1 }.map { model in
      let bars = model.kinds.map { kind in
        Bars.Bar(
          name: kind.kind, value: kind.statistics.divergence.value,
          interval: kind.interval.low...max(kind.interval.low, kind.interval.high),
          text: plain(kind.statistics.divergence.value), style: "subject")
      }
      return ["name": model.name, "chart": chart { Bars(bars: bars).drawn(width: $0, label: "KLD by kind of text") }]
    }
  }
}

extension DriftReport {
  /// Whether another run measured the same text against the same model.
  fileprivate func isComparable(with other: DriftReport) -> Bool {
    base.name == other.base.name && context == other.context && texts.map(\.name) == other.texts.map(\.name)
  }
}
