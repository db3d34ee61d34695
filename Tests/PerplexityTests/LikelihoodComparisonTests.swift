import Foundation
import Perplexity
import Tensors
import TestSupport
import Testing

@Suite struct LikelihoodComparisonTests {
  /// Losses that vary by 1 nat between positions and by 0.01 between models: the variation between positions cancels.
  @Test func modelsAreComparedPositionByPosition() {
    var random = SplitMix(seed: 5)
    let base = (0..<4000).map { _ in 3 + Double(random.normal()) }
    let gaps = (0..<4000).map { _ in 0.02 + 0.01 * Double(random.normal()) }
    let first = Likelihood(losses: base)
    let other = Likelihood(losses: zip(base, gaps).map { $0 + $1 })
    let comparison = LikelihoodComparison(other, with: first, rowsPerWindow: 100)
    let mean = gaps.reduce(0, +) / 4000
    #expect(abs(comparison.logRatio.value - mean) < 1e-12)
    #expect(abs(comparison.ratio.value - exp(mean)) < 1e-12)
    let ratio = other.statistics().perplexity.value / first.statistics().perplexity.value
    #expect(abs(comparison.ratio.value - ratio) < 1e-9)
    // 0.01 / sqrt(4000); the error of a perplexity is a hundred times larger.
    #expect(abs(comparison.ratio.error - 1.6e-4) < 1e-5)
    #expect(first.statistics().loss.error > 0.01)
    #expect(comparison.interval.low < ratio && ratio < comparison.interval.high)
    #expect(abs(comparison.interval.width - 4 * 1.6e-4) < 1e-4)
    let part = LikelihoodComparison(other, with: first, rows: [100..<200, 300..<400], rowsPerWindow: 100)
    let partMean = (gaps[100..<200] + gaps[300..<400]).reduce(0, +) / 200
    #expect(abs(part.logRatio.value - partMean) < 1e-12)
    #expect(LikelihoodComparison(first, with: first, rowsPerWindow: 100).ratio == Estimate(value: 1, error: 0))
  }

  @Test func bitsPerByte() {
    // Two tokens of one bit and one token of four bits, in three bytes.
    let bits = LikelihoodStatistics(losses: [1, 1, 4].map { $0 * log(2) }).bitsPerByte(bytes: 3)
    #expect(abs(bits.value - 2) < 1e-12 && abs(bits.error - 1) < 1e-12)
  }
}
