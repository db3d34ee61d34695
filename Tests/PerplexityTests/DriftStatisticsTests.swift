import Foundation
import Perplexity
import Testing

/// Five positions, with figures computed by hand from llama-perplexity's formulas.
@Suite struct DriftStatisticsTests {
  let drift = Drift(
    divergences: [0.1, 0.4, 0.2, 0.3, 0.0], baseLosses: [1, 2, 3, 4, 5], losses: [1.5, 2, 2.5, 4.5, 5.5],
    sameTops: [true, true, false, true, true])

  @Test func followsTheFormulas() {
    let s = DriftStatistics(drift)
    #expect(s.positions == 5)
    #expect(abs(s.divergence.value - 0.2) < 1e-12)
    // variance 0.02, over n - 1 = 4
    #expect(abs(s.divergence.error - (0.02 / 4).squareRoot()) < 1e-12)
    #expect(abs(s.basePerplexity.value - exp(3)) < 1e-9)
    #expect(abs(s.basePerplexity.error - exp(3) * (2.0 / 4).squareRoot()) < 1e-9)
    #expect(abs(s.perplexity.value - exp(3.2)) < 1e-9)
    #expect(abs(s.logRatio.value - 0.2) < 1e-12)
    // gaps 0.5, 0, -0.5, 0.5, 0.5: variance 0.16
    #expect(abs(s.logRatio.error - (0.16 / 4).squareRoot()) < 1e-12)
    #expect(abs(s.ratio.value - exp(0.2)) < 1e-12)
    // covariance of the losses 2.1, variances 2 and 2.36
    #expect(abs(s.correlation.value - 2.1 / (2 * 2.36).squareRoot()) < 1e-12)
    let gapVariance =
      (exp(6.4) * 2.36 + exp(6) * 2 - 2 * exp(6.2) * 2.1) / 4
    #expect(abs(s.difference.error - gapVariance.squareRoot()) < 1e-9)
    #expect(abs(s.sameTop.value - 0.8) < 1e-12)
    #expect(abs(s.sameTop.error - (0.8 * 0.2 / 4).squareRoot()) < 1e-12)
  }

  @Test func quantilesAreInterpolated() {
    let s = DriftStatistics(drift)
    #expect(s.divergenceQuantile(1) == 0.4)
    #expect(s.divergenceQuantile(0) == 0)
    #expect(s.divergenceQuantile(0.5) == 0.2)
    #expect(abs(s.divergenceQuantile(0.9)! - 0.36) < 1e-12)
    // The standard deviation of the median's rank is sqrt(0.25 / 5) = 0.2236 of 4 steps of 0.1.
    let median = s.divergenceQuantiles.first { $0.fraction == 0.5 }
    #expect(abs(median!.error! - 0.2236067977 * 0.4) < 1e-9)
    #expect(s.divergenceQuantiles[0].error == nil)
    #expect(s.probabilityChangeQuantiles.count == DriftStatistics.changeFractions.count)
    #expect(abs(s.probabilityChangeQuantiles[0].value - (exp(-2.5) - exp(-3))) < 1e-12)
  }

  @Test func rmsOfTheChange() {
    let s = DriftStatistics(drift)
    let squares = zip(drift.losses, drift.baseLosses).map { pow(exp(-$0) - exp(-$1), 2) }
    let mean = squares.reduce(0, +) / 5
    #expect(abs(s.probabilityChangeRMS.value - mean.squareRoot()) < 1e-12)
  }

  @Test func selectsRows() {
    let part = drift.selecting(rows: [0..<1, 3..<5])
    #expect(part.divergences == [0.1, 0.3, 0])
    #expect(DriftStatistics(part).sameTop.value == 1)
  }

  @Test func acceptsOnePosition() throws {
    let s = DriftStatistics(drift.selecting(rows: [0..<1]))
    #expect(s.divergence.error == 0 && s.correlation == Estimate(value: 1, error: 0))
    #expect(try JSONDecoder().decode(DriftStatistics.self, from: JSONEncoder().encode(s)) == s)
  }
}
