import Fit
import Tensors
import TestSupport
import Testing

/// The surrogate, with synthetic models of known weights.
@Suite struct SurrogateTests {
  private let costs = [0.04, 0.03, 0.02, 0.01]

  /// Trials around the incumbent of a model whose drift is the sum of w_g x_g plus an error.
  private func surrogate(_ weights: [Double], error: Double) -> MixSurrogate {
    var surrogate = MixSurrogate()
    surrogate.policy.curvature = 0
    surrogate.policy.variance = 1e-12
    surrogate.policy.spread = 100
    let drift = zip(weights, costs).reduce(0) { $0 + $1.0 * $1.1 }
    surrogate.add(MixSurrogate.Trial(costs: costs, level: 1, error: 0))
    for group in costs.indices {
      var changed = costs
      changed[group] *= 1.2
      let other = zip(weights, changed).reduce(0) { $0 + $1.0 * $1.1 }
      surrogate.add(MixSurrogate.Trial(costs: changed, level: other / drift, error: error))
    }
    return surrogate
  }

  private func drift(_ weights: [Double]) -> Double { zip(weights, costs).reduce(0) { $0 + $1.0 * $1.1 } }

  @Test(arguments: [[1.0, 1, 1, 1], [2, 0.5, 1, 1.5], [3, 3, 3, 0.9]]) func aLinearModelIsFound(weights: [Double]) {
    let fit = surrogate(weights, error: 1e-9).fit(costs: costs, level: 1, drift: drift(weights))
    for (found, expected) in zip(fit.mean, weights) { #expect(abs(found - expected) < 1e-3 * expected) }
    // Multipliers are relative to the scale that all groups share.
    for (multiplier, expected) in zip(fit.weights(), weights) {
      #expect(abs(multiplier - expected / fit.scale) < 1e-3 * multiplier)
    }
    #expect(fit.weights(share: 0) == [1, 1, 1, 1])
  }

  /// Groups that trials hardly determine stay at the common scale.
  @Test func unsureTrialsLeaveTheScale() {
    var noisy = surrogate([4, 1, 1, 1], error: 10)
    noisy.policy.spread = 0.7
    let fit = noisy.fit(costs: costs, level: 1, drift: drift([4, 1, 1, 1]))
    for weight in fit.weights() { #expect(abs(weight - 1) < 0.01, "\(weight)") }
  }

  /// A weight fitted at zero or below gets the lower bound.
  @Test func multipliersHaveALowerBound() {
    let fit = surrogate([1, 1, 1, -5], error: 1e-9).fit(costs: costs, level: 1, drift: drift([1, 1, 1, -5]))
    #expect(fit.weights()[3] == 0.1 && fit.mean[3] < -4)
  }

  /// Samples scatter around the mean according to the errors of the trials: more with larger errors.
  @Test func samplesScatterAccordingToErrors() {
    var surrogate = surrogate([2, 2, 2, 2], error: 1e-3)
    surrogate.policy.spread = 0.5
    var unsure = costs
    unsure[0] *= 1.2
    surrogate.add(MixSurrogate.Trial(costs: unsure, level: 1.08, error: 1e-6))
    let fit = surrogate.fit(costs: costs, level: 1, drift: drift([2, 2, 2, 2]))
    var random = SplitMix(seed: 8)
    let samples = (0..<2000).map { _ in fit.sample(temperature: 0.3) { random.normal() } }
    func deviation(_ group: Int) -> Double {
      let values = samples.map { $0[group] }
      let mean = values.reduce(0, +) / Double(values.count)
      return (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)).squareRoot()
    }
    #expect(deviation(0) < deviation(3) / 3, "\(deviation(0)) and \(deviation(3))")
    let still = fit.sample(temperature: 0) { random.normal() }
    for (one, other) in zip(still, fit.weights()) { #expect(abs(one - other) < 1e-12) }
  }
}
