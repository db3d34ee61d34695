import Fit
import Foundation
import GGUF
import Imatrix
import Perplexity
import Quantize
import Tensors

/// Finds the mix for a size: allocation from measured sensitivities, a search by trials, and a last comparison with the
/// stock mixes.
struct Fitting {
  let source: any ModelSource
  let matrix: ImportanceMatrix?
  /// Also where it is still to be computed.
  let hasImportance: Bool
  let constraints: TypeConstraints
  let target: FitTarget
  let options: RunOptions
  let progress: Progress

  /// How a mix was chosen, for the report.
  struct Outcome {
    var types: [GGMLType]
    var lines: [String]
  }

  /// - Parameters:
  ///   - search: whether to look for something better than the allocation, for at most `budget` seconds.
  func run(
    table: SensitivityTable, text: MeasuringText?, search: Bool, budget: Double, seed: UInt64
  ) throws -> Outcome {
    func allocator(factors: [Double]? = nil) -> TargetAllocator {
      TargetAllocator(
        table.options(target.menus, alignment: target.size.alignment, scale: factors), size: target.size,
        upTo: target.bytes)
    }
    let plain = allocator()
    guard let allocated = try plain.types(for: target.bytes) else {
      // What can't be known before errors were measured: types that some tensor has no importance for.
      throw QuantizeError.targetTooSmall(
        target: target.bytes, smallest: try target.size.bytes(of: plain.smallest()), largest: try target.largest())
    }
    guard let text else { return Outcome(types: allocated, lines: []) }
    let trials = try MixTrials(source: source, importance: matrix?.lookup, options: options.forward)
    var types = allocated
    var lines: [String] = []
    if search {
      var searching = MixSearch(
        trials: trials, windows: text.validation, stepWindows: text.probes,
        choices: plain.options, groups: table.groups(of: source)
      ) { factors in
        try allocator(factors: factors).types(for: target.bytes)
      } spare: { types in
        try target.bytes - target.size.bytes(of: types)
      }
      searching.budget = budget
      searching.seed = seed
      progress.start(
        "\(source.name): search", total: searching.roundLimit + searching.exchangeLimit, unit: .count("rounds"))
      let result = try searching.run(from: allocated) { round, best in
        try Interruption.check()
        progress.update(round, "round \(round), KLD \(Figures.significant(best))")
      }
      progress.finish("\(source.name): search, \(result.trials) trials")
      types = result.types
      lines.append(
        "search: \(result.trials) trials in \(result.rounds) rounds, KLD \(Figures.significant(result.initial)) to "
          + "\(Figures.significant(result.final)) (\(Figures.percent(result.final / result.initial - 1, 1)))"
          + (result.isCutShort ? ", ended by --budget" : ""))
    }
    return try compared(types, trials, text.validation, lines)
  }

  /// The better of a mix and the nearest stock mixes that are not larger.
  private func compared(
    _ types: [GGMLType], _ trials: MixTrials, _ windows: ScoringWindows, _ lines: [String]
  ) throws -> Outcome {
    var stock: [(mix: StockMix, types: [GGMLType], bytes: Int)] = []
    for mix in StockMix.allCases where mix.base.isQuantized {
      let own = try constraints.applied(to: mix.types(for: source, hasImportance: hasImportance), of: source)
      let fits = zip(source.tensors, own).allSatisfy { tensor, type in
        type == tensor.type || type.canEncode && (hasImportance || !type.needsImportance)
      }
      let bytes = try target.size.bytes(of: own)
      // A target is often a stock mix's size as llama-quantize writes it, without our keys: one that is larger by these
      // alone is no file to write, but the one to compare with.
      let isNear = Double(bytes) <= 1.001 * Double(target.bytes)
      if fits, isNear, !stock.contains(where: { $0.types == own }) { stock.append((mix, own, bytes)) }
    }
    // A larger stock mix is not always the better one: the three next below the target.
    let nearest = stock.sorted { ($1.bytes, $0.mix.rawValue) < ($0.bytes, $1.mix.rawValue) }.prefix(3)
    guard !nearest.isEmpty else {
      return Outcome(types: types, lines: lines + ["no stock mix is as small as the target"])
    }
    progress.start("\(source.name): check against stock mixes", total: 1, unit: .count("layers"))
    let drifts = try trials.drifts(of: [types] + nearest.map(\.types), windows: windows) { layer, layers in
      try Interruption.check()
      progress.update(layer, of: layers)
    }
    progress.finish()
    let best = (0..<nearest.count).min { drifts[$0 + 1].mean < drifts[$1 + 1].mean }!
    let (own, other) = (drifts[0].mean, drifts[best + 1].mean)
    let name = nearest[nearest.startIndex + best].mix.rawValue
    let difference = Bootstrap.difference(drifts[0], drifts[best + 1], rowsPerWindow: windows.scored.count)
    let figures =
      "KLD \(Figures.significant(own)) against \(Figures.significant(other)) of \(name) on \(windows.windows.count) "
      + "windows (\(Figures.percent(own / other - 1, 1)); 95 % of \(Figures.significant(difference.low, 3)) to "
      + "\(Figures.significant(difference.high, 3)))"
    if own <= other { return Outcome(types: types, lines: lines + ["the fitted mix is kept: " + figures]) }
    let fitting = nearest.indices.filter { nearest[$0].bytes <= target.bytes }
    guard
      let second = fitting.min(by: {
        drifts[$0 - nearest.startIndex + 1].mean < drifts[$1 - nearest.startIndex + 1].mean
      }), drifts[second - nearest.startIndex + 1].mean < own
    else { return Outcome(types: types, lines: lines + ["\(name) is better and a little too large: " + figures]) }
    guard second - nearest.startIndex == best else {
      return Outcome(
        types: nearest[second].types,
        lines: lines + [
          "the stock mix \(nearest[second].mix.rawValue) was written; \(name) is better and a little too large: "
            + figures
        ])
    }
    return Outcome(
      types: nearest[second].types, lines: lines + ["the stock mix \(name) is better and was written: " + figures])
  }
}
