import Foundation
import Tensors

/// A linear model of a mix's drift around an incumbent, fitted to all trials so far.
///
/// With x_g the table's cost of group g (tensors that share a coefficient) under a mix, K the drift, and 0 the incumbent,
///
///     K / K0 - 1 = sum over g of w_g (x_g - x0_g) / K0
///
/// If errors were additive, every w_g would be 1. At few bits they are not: once the hidden states are far off, some
/// tensors matter less and others more. So the weights are fitted to the trials by ridge regression, w_g = s (1 + d_g) with
/// one free scale s and normal deviations d_g of standard deviation `policy.spread`. A trial is weighted by its standard
/// error, and less the further its drift is from the incumbent's.
package struct MixSurrogate {
  package struct Trial {
    /// x_g of every group.
    let costs: [Double]
    /// Drift relative to the initial mix's on the same text.
    let level: Double
    /// Standard error of `level`.
    let error: Double

    package init(costs: [Double], level: Double, error: Double) {
      self.costs = costs
      self.level = level
      self.error = error
    }
  }

  private(set) var trials: [Trial] = []
  package var policy = SurrogatePolicy()

  package init() {}

  package mutating func add(_ trial: Trial) { trials.append(trial) }

  /// The posterior distribution of the weights: its mean, and the Cholesky factor for samples.
  package struct Fit {
    package let scale: Double
    package let mean: [Double]
    /// The lower Cholesky factor of the precision matrix.
    let factor: [[Double]]
    /// The lower bound of a multiplier.
    let minimum: Double

    /// Multipliers of the table's coefficients: from 1 each (share 0) to the fitted ones (share 1).
    package func weights(share: Double = 1) -> [Double] {
      mean.map { pow(max(minimum, $0 / scale), share) }
    }

    /// Multipliers from a random sample, whose standard deviations are multiplied by `temperature`.
    package func sample(temperature: Double, normal: () -> Double) -> [Double] {
      // Solves the transposed factor: the sample's covariance is then the inverse of the precision.
      var z = mean.map { _ in normal() }
      for row in stride(from: z.count - 1, through: 0, by: -1) {
        for later in row + 1..<max(row + 1, z.count) { z[row] -= factor[later][row] * z[later] }
        z[row] /= factor[row][row]
      }
      return zip(mean, z).map { max(minimum, ($0 + temperature * $1) / scale) }
    }
  }

  /// - Parameters:
  ///   - costs: the incumbent's cost by group.
  ///   - level: the incumbent's level.
  ///   - drift: the incumbent's drift in nats.
  package func fit(costs: [Double], level: Double, drift: Double) -> Fit {
    let count = costs.count
    var rows: [(x: [Double], y: Double, weight: Double)] = []
    for trial in trials {
      let y = trial.level / level - 1
      // The error of the linear model grows with the distance.
      let variance = pow(trial.error / level, 2) + pow(policy.curvature * y, 2) + policy.variance
      rows.append(
        (zip(trial.costs, costs).map { ($0 - $1) / max(drift, 1e-12) }, y, exp(-policy.decay * abs(y)) / variance))
    }
    // Only trials that differ in one group determine the scale: others reflect interactions.
    var above = 0.0
    var below = 0.0
    for row in rows where row.x.count(where: { $0 != 0 }) == 1 {
      let total = row.x.reduce(0, +)
      above += row.weight * total * row.y
      below += row.weight * total * total
    }
    let scale = max(policy.minimumScale, below > 0 ? above / below : 1)
    let prior = 1 / pow(policy.spread * scale, 2)
    var precision = [[Double]](repeating: [Double](repeating: 0, count: count), count: count)
    var right = [Double](repeating: 0, count: count)
    for row in rows {
      let remainder = row.weight * (row.y - scale * row.x.reduce(0, +))
      // Most trials differ from the incumbent in few groups.
      for i in 0..<count where row.x[i] != 0 {
        right[i] += row.x[i] * remainder
        for j in 0...i { precision[i][j] += row.weight * row.x[i] * row.x[j] }
      }
    }
    for i in 0..<count { precision[i][i] += prior }
    let factor = Self.cholesky(precision)
    var solution = right
    for i in 0..<count {
      for j in 0..<i { solution[i] -= factor[i][j] * solution[j] }
      solution[i] /= factor[i][i]
    }
    for i in stride(from: count - 1, through: 0, by: -1) {
      for j in i + 1..<max(i + 1, count) { solution[i] -= factor[j][i] * solution[j] }
      solution[i] /= factor[i][i]
    }
    return Fit(scale: scale, mean: solution.map { scale + $0 }, factor: factor, minimum: policy.minimum)
  }

  /// The lower Cholesky factor of a symmetric matrix, given by its lower half. The ridge keeps it positive definite.
  private static func cholesky(_ matrix: [[Double]]) -> [[Double]] {
    var factor = matrix
    for i in matrix.indices {
      for j in 0...i {
        var sum = matrix[i][j]
        for k in 0..<j { sum -= factor[i][k] * factor[j][k] }
        factor[i][j] = i == j ? max(sum, 1e-300).squareRoot() : sum / factor[j][j]
      }
    }
    return factor
  }
}

extension SplitMix {
  /// A standard normal number, by the Box-Muller transform.
  package mutating func normal() -> Double {
    let u = Double((next() >> 11) + 1) * 0x1p-53
    return (-2 * log(u)).squareRoot() * cos(2 * .pi * fraction())
  }
}
