import Blocks
import GGUF
import Perplexity
import Quantize
import Tensors
import Transformer

/// Measures the drift that rounding a group of tensors causes, end to end.
///
/// A probe is a mix that differs from the source in one group. A probe of layers i to j starts from the reference's hidden
/// states before layer i. In a layer that it does not round, it shares one reading of the weights with the reference and
/// all other probes (``MixTrials``).
package struct Probes {
  package let source: any ModelSource
  package let importance: Importance?
  package let windows: ScoringWindows
  package var options: ForwardOptions
  /// The type that tensors are rounded to: low enough that the drift exceeds arithmetic noise, high enough that the errors
  /// of several tensors are still additive.
  package var type: GGMLType = .q3_K

  package init(
    source: any ModelSource, importance: Importance?, windows: ScoringWindows, options: ForwardOptions
  ) {
    self.source = source
    self.importance = importance
    self.windows = windows
    self.options = options
  }

  /// The type of a tensor in a probe.
  func probeType(_ tensor: TensorInfo) -> GGMLType {
    let fitting = type.fitting(columns: tensor.shape.columns)
    return fitting.canEncode ? fitting : .q8_0
  }

  /// KL divergence in nats by group, with its standard error over windows. Every window counts alike: its weight is the
  /// inverse of the sum of the groups' divergence in it.
  ///
  /// - Parameter progress: its steps are layers.
  func estimates(of groups: [ProbeGroup], progress: any RunObserver) throws -> [Estimate] {
    let mixes = groups.map { group in
      let rounded = Set(group.tensors.map(\.name))
      return source.tensors.map { rounded.contains($0.name) ? probeType($0) : $0.type }
    }
    // A rounded tensor is read in one probe only.
    let trials = try MixTrials(source: source, importance: importance, options: options, keepsEncoded: false)
    let drifts = try trials.drifts(of: mixes, windows: windows, progress: progress)
    let rows = windows.scored.count
    var sums = [Double](repeating: 0, count: drifts.first?.positions ?? 0)
    for drift in drifts {
      for (position, divergence) in drift.divergences.enumerated() { sums[position] += divergence }
    }
    let balance = WindowBalance(sums, rows: rows)
    return drifts.map { drift in
      let divergences = balance.weighted(drift.divergences)
      // Arithmetic noise can make a mean near zero negative.
      return Estimate(
        value: max(0, divergences.reduce(0, +) / Double(max(1, divergences.count))),
        error: Self.standardError(divergences, of: rows))
    }
  }

  /// The standard error of the mean over windows, as positions of one window are not independent: by Student's
  /// distribution, with the variance that few windows have. Of fewer than four windows it is that over positions, and
  /// twice as large.
  package static func standardError(_ divergences: [Double], of count: Int) -> Double {
    let means = WindowBalance.means(divergences, rows: max(1, count))
    guard means.count > 3 else { return 2 * Estimate(meanOf: divergences).error }
    let freedom = Double(means.count - 1)
    return Estimate(meanOf: means).error * (freedom / (freedom - 2)).squareRoot()
  }
}
