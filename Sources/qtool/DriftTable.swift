import GGUF
import Perplexity
import Tensors

/// Drift as people read it.
enum DriftTable {
  /// One row a model, the reference first.
  static func summary(base: any ModelSource, models: [any ModelSource], _ statistics: [DriftStatistics]) -> String {
    // Bytes of whole files; of a directory, what its tensors take.
    var table = Table([
      ("model", .left), ("bytes", .right), ("bpw", .right), ("perplexity", .right), ("±", .right),
      ("mean KLD", .right),
      ("±", .right), ("99.9 % KLD", .right), ("same top", .right),
    ])
    func sizes(_ model: any ModelSource) -> [String] {
      let (bytes, bits) = storage(of: model)
      return [model.name, Figures.grouped(bytes), Figures.fixed(bits, 3)]
    }
    guard let first = statistics.first else { return table.rendered() }
    table.add(
      sizes(base) + [Figures.fixed(first.basePerplexity.value, 4), Figures.fixed(first.basePerplexity.error, 4)]
        + ["0", "", "", "100 %"])
    for (model, statistics) in zip(models, statistics) {
      table.add(
        sizes(model) + [
          Figures.fixed(statistics.perplexity.value, 4), Figures.fixed(statistics.perplexity.error, 4),
          Figures.fixed(statistics.divergence.value, 6), Figures.fixed(statistics.divergence.error, 6),
          Figures.fixed(statistics.divergenceQuantile(0.999) ?? 0, 4), Figures.percent(statistics.sameTop.value),
        ])
    }
    return table.rendered()
  }

  /// Bytes of the file or its shards (of a directory: of all tensors as stored), and bits per weight.
  static func storage(of model: any ModelSource) -> (bytes: Int, bitsPerWeight: Double) {
    let tensors = model.tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
    let weights = model.tensors.reduce(0) { $0 + $1.shape.count }
    let bytes = (model as? GGUFFile)?.bytes ?? tensors
    return (bytes, Double(tensors) * 8 / Double(max(1, weights)))
  }

  /// Every figure of one comparison.
  static func details(_ statistics: DriftStatistics) -> String {
    var table = Table([("figure", .left), ("value", .right), ("±", .right)])
    func row(_ name: String, _ estimate: Estimate, _ digits: Int = 6) {
      table.add([name, Figures.fixed(estimate.value, digits), Figures.fixed(estimate.error, digits)])
    }
    row("PPL(model)", statistics.perplexity, 4)
    row("PPL(base)", statistics.basePerplexity, 4)
    table.add(["correlation of ln PPL", Figures.percent(statistics.correlation), ""])
    row("ln (PPL(model) / PPL(base))", statistics.logRatio)
    row("PPL(model) / PPL(base)", statistics.ratio)
    row("PPL(model) - PPL(base)", statistics.difference)
    row("mean KLD", statistics.divergence)
    for quantile in statistics.divergenceQuantiles {
      table.add(["KLD, \(name(quantile.fraction))", Figures.fixed(quantile.value, 6), ""])
    }
    func percent(_ name: String, _ estimate: Estimate) {
      table.add([name, Figures.percent(estimate.value, 3), Figures.percent(estimate.error, 3)])
    }
    percent("mean Δp", statistics.probabilityChange)
    percent("RMS Δp", statistics.probabilityChangeRMS)
    for quantile in statistics.probabilityChangeQuantiles {
      table.add(["Δp, \(name(quantile.fraction))", Figures.percent(quantile.value, 3), ""])
    }
    percent("same top token", statistics.sameTop)
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
