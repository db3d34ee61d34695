import GGUF
import Imatrix
import Transformer

extension ImportanceMatrix {
  /// The table of `llama-imatrix --show-statistics`, and its averages by layer.
  func statisticsTable() -> String {
    let statistics = statistics
    var tensors = Table([
      ("Layer", .right), ("Tensor", .left), ("Σ(Act²)", .right), ("Min", .right), ("Max", .right), ("μ", .right),
      ("σ", .right), ("% Active", .right), ("N", .right), ("Entropy", .right), ("E (norm)", .right), ("ZD", .right),
      ("CosSim", .right),
    ])
    for entry in statistics {
      tensors.add([
        entry.layer.map(String.init) ?? "-", TensorName(entry.tensor).title,
        Figures.fixed(entry.total, 2), Figures.fixed(entry.minimum, 4), Figures.fixed(entry.maximum, 4),
        Figures.fixed(entry.mean, 2), Figures.fixed(entry.deviation, 2), Figures.percent(entry.active),
        "\(entry.columns)", Figures.fixed(entry.entropy, 4), Figures.percent(entry.normalizedEntropy),
        Figures.percent(entry.outliers), Figures.fixed(entry.similarity ?? 0, 4),
      ])
    }
    var layers = Table([("Layer", .right), ("μΣ(Act²)", .right), ("μZD", .right), ("μCosSim", .right)])
    for layer in Self.layers(of: statistics) {
      layers.add([
        "\(layer.layer)", Figures.fixed(layer.total, 2), Figures.percent(layer.outliers, 4),
        Figures.fixed(layer.similarity, 4),
      ])
    }
    return tensors.rendered() + "\n\n" + layers.rendered()
  }

  /// Tokens by expert, with a list of starved experts; nil for a model without experts.
  func coverageReport() -> String? {
    let coverage = coverage
    guard !coverage.isEmpty else { return nil }
    var table = Table([
      ("Layer", .right), ("experts", .right), ("even share", .right), ("fewest", .right), ("most", .right),
      ("starved (under 5 % of a share)", .left),
    ])
    for layer in coverage {
      let starved = layer.starved
      let list = starved.prefix(8).map { "\($0) (\(layer.tokens[$0]))" }.joined(separator: ", ")
      table.add([
        "\(layer.layer)", "\(layer.tokens.count)", Figures.fixed(layer.evenShare, 0), "\(layer.tokens.min()!)",
        "\(layer.tokens.max()!)",
        starved.isEmpty ? "none" : list + (starved.count > 8 ? " and \(starved.count - 8) more" : ""),
      ])
    }
    return table.rendered()
  }
}

extension ForwardPlan {
  /// One line with the resources of a pass.
  func summary(of model: String, seconds: Double) -> String {
    let scratch = needsScratch ? ", hidden states partly in the scratch folder" : ""
    return "\(model): plan: at most \(Figures.bytes(residentBytes)) in memory, \(Figures.bytes(bytesToRead)) to read, "
      + "\(Figures.significant(operations / 1e12, 3)) TFLOP, about \(Figures.duration(seconds))\(scratch)"
  }
}
