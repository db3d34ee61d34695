import Perplexity

/// Tables of drift.
enum DriftTable {
  /// All tables of a comparison.
  static func text(_ report: DriftReport) -> String {
    var parts = [summary(report)]
    if report.models.contains(where: { !$0.kinds.isEmpty }) { parts.append(kinds(report)) }
    if !report.comparisons.isEmpty { parts.append(comparisons(report)) }
    parts.append(details(report))
    let bounds = report.models.compactMap { model in
      model.truncation.map { truncation in
        "\(model.name): error of the mean KLD from the compact reference: at most "
          + "\(Figures.significant(truncation.bound, 2)) (three standard errors); bounds of the mean: "
          + "\(Figures.fixed(truncation.least, 6)) to \(Figures.fixed(truncation.most, 6))"
      }
    }
    if !bounds.isEmpty { parts.append(bounds.joined(separator: "\n")) }
    return parts.joined(separator: "\n\n")
  }

  /// One row per model, the reference first.
  private static func summary(_ report: DriftReport) -> String {
    // Bytes of whole files; for a directory, bytes of its tensors.
    var table = Table([
      ("model", .left), ("bytes", .right), ("bpw", .right), ("perplexity", .right), ("±", .right),
      ("mean KLD", .right), ("±", .right), ("95 % interval", .right), ("99.9 % KLD", .right), ("same top", .right),
    ])
    guard let first = report.models.first?.statistics else { return table.rendered() }
    let base = report.base
    let head = base.bitsPerWeight.map { [base.name, Figures.grouped(base.bytes), Figures.fixed($0, 3)] }
    table.add(
      (head ?? [base.name, "", ""]) + [
        Figures.fixed(first.basePerplexity.value, 4), Figures.fixed(first.basePerplexity.error, 4),
      ]
        + ["0", "", "", "", "100 %"])
    for drift in report.models {
      let statistics = drift.statistics
      table.add(
        [drift.name, Figures.grouped(drift.bytes), Figures.fixed(drift.bitsPerWeight, 3)] + [
          Figures.fixed(statistics.perplexity.value, 4), Figures.fixed(statistics.perplexity.error, 4),
          Figures.fixed(statistics.divergence.value, 6), Figures.fixed(statistics.divergence.error, 6),
          interval(drift.interval), Figures.fixed(statistics.divergenceQuantile(0.999) ?? 0, 4),
          Figures.percent(statistics.sameTop.value),
        ])
    }
    return table.rendered()
  }

  private static func interval(_ interval: ConfidenceInterval) -> String {
    "\(Figures.fixed(interval.low, 6)) to \(Figures.fixed(interval.high, 6))"
  }

  /// One row per model and kind of text.
  private static func kinds(_ report: DriftReport) -> String {
    var table = Table([
      ("kind of text", .left), ("model", .left), ("windows", .right), ("perplexity", .right), ("PPL ratio", .right),
      ("mean KLD", .right), ("±", .right), ("95 % interval", .right), ("99.9 % KLD", .right), ("same top", .right),
    ])
    for kind in report.models.first?.kinds.map(\.kind) ?? [] {
      for model in report.models {
        guard let drift = model.kinds.first(where: { $0.kind == kind }) else { continue }
        let statistics = drift.statistics
        table.add([
          kind, model.name, "\(drift.windows)", Figures.fixed(statistics.perplexity.value, 4),
          Figures.fixed(statistics.ratio.value, 4), Figures.fixed(statistics.divergence.value, 6),
          Figures.fixed(statistics.divergence.error, 6), interval(drift.interval),
          Figures.fixed(statistics.divergenceQuantile(0.999) ?? 0, 4), Figures.percent(statistics.sameTop.value),
        ])
      }
    }
    return table.rendered()
  }

  /// One row per pair of models.
  private static func comparisons(_ report: DriftReport) -> String {
    var table = Table([
      ("model", .left), ("against", .left), ("KLD difference", .right), ("±", .right), ("95 % interval", .right),
      ("closer to the base", .left),
    ])
    for pair in report.comparisons {
      let closer = !pair.interval.excludesZero ? "undecided" : pair.interval.high < 0 ? pair.one : pair.other
      table.add([
        pair.one, pair.other, Figures.fixed(pair.difference.value, 6), Figures.fixed(pair.difference.error, 6),
        interval(pair.interval), closer,
      ])
    }
    return table.rendered()
  }

  /// All figures of llama-perplexity, for every model.
  private static func details(_ report: DriftReport) -> String {
    let single = report.models.count == 1
    var table = Table(
      [("figure", .left)]
        + report.models.flatMap { [(single ? "value" : $0.name, Table.Alignment.right), ("±", Table.Alignment.right)] })
    let all = report.models.map(\.statistics)
    func row(_ name: String, _ cells: (DriftStatistics) -> [String]) { table.add([name] + all.flatMap(cells)) }
    func estimate(_ name: String, _ path: KeyPath<DriftStatistics, Estimate>, _ digits: Int = 6) {
      row(name) { [Figures.fixed($0[keyPath: path].value, digits), Figures.fixed($0[keyPath: path].error, digits)] }
    }
    func percent(_ name: String, _ path: KeyPath<DriftStatistics, Estimate>) {
      row(name) { [Figures.percent($0[keyPath: path].value, 3), Figures.percent($0[keyPath: path].error, 3)] }
    }
    estimate("PPL(model)", \.perplexity)
    estimate("PPL(base)", \.basePerplexity)
    percent("correlation of ln PPL", \.correlation)
    estimate("ln (PPL(model) / PPL(base))", \.logRatio)
    estimate("PPL(model) / PPL(base)", \.ratio)
    estimate("PPL(model) - PPL(base)", \.difference)
    estimate("mean KLD", \.divergence)
    for (index, fraction) in DriftStatistics.divergenceFractions.enumerated() {
      row("KLD, \(name(fraction))") {
        let quantile = $0.divergenceQuantiles[index]
        return [Figures.fixed(quantile.value, 6), quantile.error.map { Figures.fixed($0, 6) } ?? ""]
      }
    }
    percent("mean Δp", \.probabilityChange)
    percent("RMS Δp", \.probabilityChangeRMS)
    for (index, fraction) in DriftStatistics.changeFractions.enumerated() {
      row("Δp, \(name(fraction))") {
        let quantile = $0.probabilityChangeQuantiles[index]
        return [Figures.percent(quantile.value, 3), quantile.error.map { Figures.percent($0, 3) } ?? ""]
      }
    }
    percent("same top token", \.sameTop)
    return table.rendered()
  }

  private static func name(_ fraction: Double) -> String {
    switch fraction {
    case 1: "maximum"
    case 0: "minimum"
    case 0.5: "median"
    default: Figures.significant(fraction * 100, 3) + " %"
    }
  }
}
