import Blocks
import GGUF
import Perplexity
import Quantize
import Tensors

/// The last comparison: the fitted mixes with the nearest stock mixes, on text that no earlier stage has seen.
package struct StockComparison {
  let source: any ModelSource
  let target: FitTarget
  let hasImportance: Bool
  let policy: FitPolicy

  struct Stock {
    let name: String
    let types: [GGMLType]
    let bytes: Int
  }

  /// The largest stock mixes within the target, under the constraints, the largest first.
  func nearest() throws -> [Stock] {
    var all: [Stock] = []
    for (name, types) in mixes {
      let types = try target.constraints.applied(to: types, of: source)
      let canBeWritten = zip(source.tensors, types).allSatisfy { tensor, type in
        type == tensor.type || type.canEncode && (hasImportance || !type.needsImportance)
      }
      let bytes = try target.size.bytes(of: types)
      // A mix that is slightly too large can't be written, but serves as a comparison.
      let isNear = Double(bytes) <= policy.stockTolerance * Double(target.bytes)
      if canBeWritten, isNear, !all.contains(where: { $0.types == types }) {
        all.append(Stock(name: name, types: types, bytes: bytes))
      }
    }
    let sorted = all.sorted { ($1.bytes, $0.name) < ($0.bytes, $1.name) }
    return Array(sorted.prefix(policy.stockMixes))
  }

  private var mixes: [(name: String, types: [GGMLType])] {
    source.outputForm?.baselines
      ?? StockMix.allCases.filter(\.base.isQuantized).map {
        ($0.rawValue, $0.types(for: source, hasImportance: hasImportance))
      }
  }

  /// The drift of a file, and that of the nearest stock mixes.
  func written(
    _ file: any ModelSource, trials: MixTrials, windows: ScoringWindows, progress: any RunObserver
  ) throws -> FitReport.Written {
    let stock = try nearest()
    let drifts = try trials.drifts(of: stock.map(\.types), beside: [file], windows: windows, progress: progress)
    let best = drifts.dropFirst().min { $0.mean < $1.mean }
    let difference = best.map { Bootstrap.difference(drifts[0], $0, rowsPerWindow: windows.scored.count) }
    return FitReport.Written(
      windows: windows.windows.count, divergence: drifts[0].mean, stock: measured(stock, Array(drifts.dropFirst())),
      low: difference?.low ?? 0, high: difference?.high ?? 0)
  }

  private func measured(_ stock: [Stock], _ drifts: [Drift]) -> [FitReport.Measured] {
    zip(stock, drifts).map { FitReport.Measured(name: $0.name, bytes: $0.bytes, divergence: $1.mean) }
  }

  /// The types to write, and the evidence for them.
  struct Verdict {
    let types: [GGMLType]
    let choice: FitReport.Choice
    let comparison: FitReport.Comparison
  }

  /// A mix that was fitted, and where it comes from.
  struct Candidate {
    let choice: FitReport.Choice
    let types: [GGMLType]
  }

  /// - Parameters:
  ///   - candidates: the allocation first; those that repeat an earlier one's types are left out.
  ///   - base: types that are taken unless others surely gain; those of a candidate.
  func verdict(
    of candidates: [Candidate], against base: [GGMLType], trials: any MixMeasuring, windows: ScoringWindows,
    progress: any RunObserver
  ) throws -> Verdict {
    let stock = try nearest()
    var fitted: [Candidate] = []
    for candidate in candidates where !fitted.contains(where: { $0.types == candidate.types }) {
      fitted.append(candidate)
    }
    let drifts = try trials.drifts(
      of: fitted.map(\.types) + stock.map(\.types), windows: windows, progress: progress)
    let stockDrifts = drifts[fitted.count...]
    let chosen = Self.choice(
      of: Array(drifts[..<fitted.count]), against: fitted.firstIndex { $0.types == base } ?? 0,
      rows: windows.scored.count, errors: policy.gainErrors)
    let fittedDrift = drifts[chosen]
    func divergence(_ choice: FitReport.Choice) -> Double? {
      fitted.firstIndex { $0.choice == choice }.map { drifts[$0].mean }
    }
    let best = stockDrifts.min { $0.mean < $1.mean }
    let difference = best.map { Bootstrap.difference(fittedDrift, $0, rowsPerWindow: windows.scored.count) }
    // The best stock mix that fits replaces the fitted mix if it is better.
    let fitting = zip(stock, stockDrifts).filter { $0.0.bytes <= target.bytes && $0.1.mean < fittedDrift.mean }
    let written = fitting.min { $0.1.mean < $1.1.mean }?.0
    let comparison = FitReport.Comparison(
      windows: windows.windows.count, fitted: fittedDrift.mean, allocation: drifts[0].mean,
      search: divergence(.search), expected: divergence(.expected),
      stock: measured(stock, Array(stockDrifts)), low: difference?.low ?? 0, high: difference?.high ?? 0,
      written: written?.name)
    return Verdict(
      types: written?.types ?? fitted[chosen].types, choice: written == nil ? fitted[chosen].choice : .stock,
      comparison: comparison)
  }

  /// The index of the mix to take: the base, unless another surely gains. So few windows, or windows of unlike kinds, do not
  /// make a file worse. Every window counts alike.
  ///
  /// - Parameters:
  ///   - base: index of a drift.
  ///   - rows: the number of scored positions of a window.
  ///   - errors: ``FitPolicy/gainErrors``.
  package static func choice(of drifts: [Drift], against base: Int, rows: Int, errors: Double) -> Int {
    let bounds = drifts.indices.map { index in
      guard index != base else { return 0.0 }
      let changes = WindowBalance.changes(to: drifts[index], from: drifts[base], rows: rows)
      return Estimate(meanOf: changes).value + errors * Probes.standardError(changes, of: rows)
    }
    return drifts.indices.min { (bounds[$0], $0) < (bounds[$1], $1) } ?? base
  }
}
