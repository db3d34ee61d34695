import Blocks
import GGUF
import Perplexity
import Quantize
import Tensors

/// The last comparison: the fitted mixes with the nearest stock mixes, on text that no earlier stage has seen.
struct StockComparison {
  let source: any ModelSource
  let target: FitTarget
  let hasImportance: Bool
  let policy: FitPolicy

  struct Stock {
    let mix: StockMix
    let types: [GGMLType]
    let bytes: Int
  }

  /// The largest stock mixes within the target, under the constraints, the largest first.
  func nearest() throws -> [Stock] {
    var all: [Stock] = []
    for mix in StockMix.allCases where mix.base.isQuantized {
      let types = try target.constraints.applied(to: mix.types(for: source, hasImportance: hasImportance), of: source)
      let canBeWritten = zip(source.tensors, types).allSatisfy { tensor, type in
        type == tensor.type || type.canEncode && (hasImportance || !type.needsImportance)
      }
      let bytes = try target.size.bytes(of: types)
      // A mix that is slightly too large can't be written, but serves as a comparison.
      let isNear = Double(bytes) <= policy.stockTolerance * Double(target.bytes)
      if canBeWritten, isNear, !all.contains(where: { $0.types == types }) {
        all.append(Stock(mix: mix, types: types, bytes: bytes))
      }
    }
    let sorted = all.sorted { ($1.bytes, $0.mix.rawValue) < ($0.bytes, $1.mix.rawValue) }
    return Array(sorted.prefix(policy.stockMixes))
  }

  /// The types to write, and the evidence for them.
  struct Verdict {
    let types: [GGMLType]
    let choice: FitReport.Choice
    let comparison: FitReport.Comparison
  }

  /// - Parameter searched: the search's mix; nil for none.
  func verdict(
    allocated: [GGMLType], searched: [GGMLType]?, trials: any MixMeasuring, windows: ScoringWindows,
    progress: any RunObserver
  ) throws -> Verdict {
    let stock = try nearest()
    let other = searched.flatMap { $0 == allocated ? nil : $0 }
    let fitted = [allocated] + (other.map { [$0] } ?? [])
    let drifts = try trials.drifts(of: fitted + stock.map(\.types), windows: windows, progress: progress)
    let stockDrifts = drifts[fitted.count...]
    let isSearched = fitted.count > 1 && drifts[1].mean < drifts[0].mean
    let own = isSearched ? drifts[1] : drifts[0]
    let best = stockDrifts.min { $0.mean < $1.mean }
    let difference = best.map { Bootstrap.difference(own, $0, rowsPerWindow: windows.scored.count) }
    // The best stock mix that fits replaces the fitted mix if it is better.
    let fitting = zip(stock, stockDrifts).filter { $0.0.bytes <= target.bytes && $0.1.mean < own.mean }
    let written = fitting.min { $0.1.mean < $1.1.mean }?.0
    let comparison = FitReport.Comparison(
      windows: windows.windows.count, allocation: drifts[0].mean, search: fitted.count > 1 ? drifts[1].mean : nil,
      stock: zip(stock, stockDrifts).map {
        FitReport.Measured(name: $0.mix.rawValue, bytes: $0.bytes, divergence: $1.mean)
      }, low: difference?.low ?? 0, high: difference?.high ?? 0, written: written?.mix.rawValue)
    return Verdict(
      types: written?.types ?? (isSearched ? fitted[1] : allocated),
      choice: written != nil ? .stock : isSearched ? .search : .allocation, comparison: comparison)
  }
}
