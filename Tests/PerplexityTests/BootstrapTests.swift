import Foundation
import Perplexity
import Tensors
import TestSupport
import Testing

@Suite struct BootstrapTests {
  /// For many independent windows, the interval is the normal distribution's: mean ± 1.96 standard errors.
  @Test func agreesWithTheNormalInterval() {
    var random = SplitMix(seed: 51)
    let values = (0..<400).map { _ in Double.random(in: 0...1, using: &random) }
    let estimate = Estimate(meanOf: values)
    let interval = Bootstrap.interval(ofMean: values, rowsPerWindow: 1)
    // Ends of 2,000 resamples scatter by a few percent of the width.
    #expect(abs(interval.low - (estimate.value - 1.96 * estimate.error)) < 0.2 * estimate.error)
    #expect(abs(interval.high - (estimate.value + 1.96 * estimate.error)) < 0.2 * estimate.error)
    #expect(interval == Bootstrap.interval(ofMean: values, rowsPerWindow: 1))
  }

  /// Equal rows of a window count once.
  @Test func drawsWholeWindows() {
    var random = SplitMix(seed: 52)
    let perWindow = (0..<100).map { _ in Double.random(in: 0...1, using: &random) }
    let repeated = perWindow.flatMap { Array(repeating: $0, count: 16) }
    let wide = Bootstrap.interval(ofMean: perWindow, rowsPerWindow: 1)
    let grouped = Bootstrap.interval(ofMean: repeated, rowsPerWindow: 16)
    #expect(abs(wide.low - grouped.low) < 1e-12 && abs(wide.high - grouped.high) < 1e-12)
    #expect(Bootstrap.interval(ofMean: repeated, rowsPerWindow: 1).width < grouped.width / 3)
  }

  /// Losses common to both models do not widen the interval of their difference.
  @Test func pairsPositions() {
    var random = SplitMix(seed: 53)
    let hard = (0..<2000).map { _ in Double.random(in: 0...1, using: &random) }
    func drift(_ shift: Double) -> Drift {
      let divergences = hard.map { $0 + shift }
      return Drift(
        divergences: divergences, baseLosses: hard, losses: hard, sameTops: Array(repeating: true, count: 2000))
    }
    let interval = Bootstrap.difference(drift(0.01), drift(0), rowsPerWindow: 20)
    #expect(interval.excludesZero && abs(interval.low - 0.01) < 1e-9 && abs(interval.high - 0.01) < 1e-9)
  }

  @Test func reportsKindsAndComparisons() throws {
    let tokens = (0..<64).map { Int32($0 % 9) }
    let windows = ScoringWindows(joining: [
      try ScoringWindows(tokens: tokens, context: 16, bos: nil, name: "a", kind: "prose"),
      try ScoringWindows(tokens: tokens, context: 16, bos: nil, name: "b", kind: "code"),
      try ScoringWindows(tokens: tokens, context: 16, bos: nil, name: "c", kind: "prose"),
    ])
    let rows = windows.rowCount
    func drift(_ value: @escaping (Int) -> Double) -> Drift {
      Drift(
        divergences: (0..<rows).map(value), baseLosses: Array(repeating: 1, count: rows),
        losses: Array(repeating: 1, count: rows), sameTops: Array(repeating: true, count: rows))
    }
    // 28 rows of each text.
    let one = drift { (28..<56).contains($0) ? 0.5 : 0.1 }
    let other = drift { _ in 0.1 }
    func size(_ name: String) -> ModelSize { ModelSize(name: name, bytes: 1000, bitsPerWeight: 4.5) }
    let report = DriftReport(
      base: DriftReport.Base(name: "base", form: .logits, bytes: 7), windows: windows,
      drifts: [(size("one"), one), (size("other"), other)], available: 20)
    #expect(report.models[0].kinds.map(\.kind) == ["prose", "code"])
    #expect(report.models[0].kinds.map(\.windows) == [8, 4])
    #expect(abs(report.models[0].kinds[1].statistics.divergence.value - 0.5) < 1e-12)
    #expect(abs(report.models[0].kinds[0].statistics.divergence.value - 0.1) < 1e-12)
    #expect(report.comparisons.count == 1)
    #expect(abs(report.comparisons[0].difference.value - 0.4 / 3) < 1e-12)
    #expect(report.widestInterval == report.comparisons[0].interval.width)
    #expect(report.texts.map(\.name) == ["a", "b", "c"] && report.texts.map(\.windows) == [4, 4, 4])
    #expect(report.windows == 12 && report.windowsAvailable == 20 && report.positionsPerWindow == 7)
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    #expect(try DriftReport(json: encoder.encode(report)) == report)
    let names = report.models[0].statistics.figures.map(\.name)
    #expect(Set(names).count == names.count && names.contains("kld_0.999"))
  }
}
