import Tensors

/// A confidence interval of a figure.
public struct ConfidenceInterval: Sendable, Equatable, Codable {
  /// The lower end, in the units of the figure.
  public let low: Double
  /// The upper end, in the units of the figure.
  public let high: Double
  /// 0.95 for a 95 % interval.
  let confidence: Double

  /// The distance between the ends.
  package var width: Double { high - low }
  /// False if the sign of the figure is uncertain.
  public var excludesZero: Bool { low > 0 || high < 0 }
}

/// Confidence intervals from resampling, without assumptions about the distribution of divergences.
///
/// Positions of a window share their context and are not independent, so whole windows are drawn. With fewer than 20
/// windows, positions are drawn, and the interval is too narrow. The same seed gives the same interval.
public enum Bootstrap {
  /// The number of samples drawn.
  private static let resamples = 2000
  private static let minimumWindows = 20

  /// The interval of the mean over scored positions.
  ///
  /// - Parameter rowsPerWindow: the number of scored positions of a window; `values` are window after window.
  package static func interval(
    ofMean values: [Double], rowsPerWindow: Int, confidence: Double = 0.95, seed: UInt64 = 1
  ) -> ConfidenceInterval {
    precondition(rowsPerWindow > 0 && values.count % rowsPerWindow == 0, "\(values.count) by \(rowsPerWindow)")
    let size = values.count / rowsPerWindow >= minimumWindows ? rowsPerWindow : 1
    let groups = stride(from: 0, to: values.count, by: size).map { start in
      values[start..<start + size].reduce(0, +) / Double(size)
    }
    guard !groups.isEmpty else { return ConfidenceInterval(low: 0, high: 0, confidence: confidence) }
    var random = SplitMix(seed: seed)
    let means = (0..<resamples).map { _ in
      var sum = 0.0
      for _ in groups.indices { sum += groups[random.below(groups.count)] }
      return sum / Double(groups.count)
    }.sorted()
    let tail = (1 - confidence) / 2
    let bounds = Quantile.all([tail, 1 - tail], ofSorted: means)
    return ConfidenceInterval(low: bounds[0].value, high: bounds[1].value, confidence: confidence)
  }

  /// The interval of the difference of two models' mean divergences, compared position by position on the same text.
  ///
  /// - Parameter rowsPerWindow: the number of scored positions of a window.
  public static func difference(
    _ one: Drift, _ other: Drift, rowsPerWindow: Int, confidence: Double = 0.95, seed: UInt64 = 1
  ) -> ConfidenceInterval {
    interval(
      ofMean: zip(one.divergences, other.divergences).map { $0 - $1 }, rowsPerWindow: rowsPerWindow,
      confidence: confidence, seed: seed)
  }
}
