import Perplexity

/// Weights by which all windows of a text count alike.
///
/// The mean divergence of a text is mostly that of the kinds that the model knows least: prose in a script that it hardly
/// knows has several times the divergence of other prose. A choice by that mean can cost conversations or code more than
/// the unknown script gains. So a window's divergences are divided by what some base has in the window.
struct WindowBalance {
  /// A window where the base has less than this part of the mean counts as if it had so much: in text that the model knows
  /// by heart, relative changes are noise.
  private static let minimumShare = 0.25

  /// Their mean, weighted by the base's divergence, is 1.
  private let weights: [Double]
  private let rows: Int

  /// - Parameters:
  ///   - base: divergence of each position, window after window.
  ///   - rows: the number of scored positions of a window.
  init(_ base: [Double], rows: Int) {
    let rows = max(1, rows)
    self.rows = rows
    // Arithmetic noise can make a mean near zero negative.
    let means = Self.means(base, rows: rows).map { max(0, $0) }
    let mean = means.reduce(0, +) / Double(max(1, means.count))
    guard mean > 0 else {
      weights = means.map { _ in 1 }
      return
    }
    let inverse = means.map { 1 / max($0, mean * Self.minimumShare) }
    let scale = mean * Double(means.count) / zip(means, inverse).reduce(0) { $0 + $1.0 * $1.1 }
    weights = inverse.map { $0 * scale }
  }

  /// The mean of each window.
  static func means(_ values: [Double], rows: Int) -> [Double] {
    stride(from: 0, to: values.count, by: rows).map { start in
      let window = values[start..<min(values.count, start + rows)]
      return window.reduce(0, +) / Double(window.count)
    }
  }

  /// Values of each position, multiplied by the window's weight, or by its square root for values whose products count.
  func weighted(_ values: [Double], asFactors: Bool = false) -> [Double] {
    let factors = asFactors ? weights.map { $0.squareRoot() } : weights
    return values.enumerated().map { $1 * factors[$0 / rows] }
  }

  /// The relative change of each position from one drift to another on the same text. Their mean is that of the windows'
  /// relative changes, but for windows below ``minimumShare``; a uniform change of x gives x.
  static func changes(to drift: Drift, from base: Drift, rows: Int) -> [Double] {
    let scale = 1 / max(base.mean, 1e-12)
    return WindowBalance(base.divergences, rows: rows).weighted(
      zip(drift.divergences, base.divergences).map { ($0 - $1) * scale })
  }
}
