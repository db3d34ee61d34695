import Foundation
import Perplexity
import Tensors
import TestSupport
import Testing

/// Windows with `windows * (context - 1 - context / 2)` scored rows over random tokens.
func randomWindows(_ count: Int, context: Int, vocabulary: Int, seed: UInt64) throws -> ScoringWindows {
  var random = SplitMix(seed: seed)
  let tokens = (0..<count * context).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &random) }
  return try ScoringWindows(tokens: tokens, context: context, bos: nil)
}

/// A reference and a candidate that differs from it by noise.
func randomPair(
  rows: Int, vocabulary: Int, spread: Float, noise: Float, seed: UInt64
) -> (base: TableSource, candidate: TableSource) {
  var random = SplitMix(seed: seed)
  let base = random.floats(rows * vocabulary, bound: spread)
  let change = random.floats(rows * vocabulary, bound: noise)
  return (
    TableSource(rows: rows, vocabulary: vocabulary, values: base),
    TableSource(rows: rows, vocabulary: vocabulary, values: zip(base, change).map { $0 + $1 })
  )
}

@Suite struct DriftTests {
  /// Single-precision exponentials summed in double precision.
  static let tolerance = 1e-6

  // One token more than a tile, fewer tokens than a vector, and not a multiple of a vector.
  @Test(arguments: [(5, 3), (100, 7), (4097, 5), (9001, 11)])
  func agreesWithTheDefinition(vocabulary: Int, windowCount: Int) throws {
    let windows = try randomWindows(windowCount, context: 8, vocabulary: vocabulary, seed: 1)
    let pair = randomPair(rows: windows.rowCount, vocabulary: vocabulary, spread: 12, noise: 0.3, seed: 2)
    let drift = try Drift.measure(
      base: ("base", pair.base), candidates: [("same", pair.base), ("other", pair.candidate)], windows: windows,
      memory: 1 << 16)
    for row in 0..<windows.rowCount {
      let p = pair.base.logProbabilities(row: row)
      let q = pair.candidate.logProbabilities(row: row)
      let target = Int(windows.targets[row])
      #expect(drift[0].divergences[row] == 0)
      #expect(abs(drift[1].divergences[row] - plainDivergence(p, q)) < Self.tolerance)
      #expect(abs(drift[1].baseLosses[row] + p[target]) < Self.tolerance)
      #expect(abs(drift[1].losses[row] + q[target]) < Self.tolerance)
      let same = p.indices.max { p[$0] < p[$1] } == q.indices.max { q[$0] < q[$1] }
      #expect(drift[1].sameTops[row] == same)
    }
  }

  /// An observer is told of every tile, and stops the comparison or the writing of a reference by throwing.
  @Test func anObserverStopsScoring() throws {
    let windows = try randomWindows(20, context: 16, vocabulary: 3000, seed: 3)
    let pair = randomPair(rows: windows.rowCount, vocabulary: 3000, spread: 5, noise: 1, seed: 4)
    func drift(_ recorder: RunRecorder) throws -> [Drift] {
      try Drift.measure(
        base: ("a", pair.base), candidates: [("b", pair.candidate)], windows: windows, memory: 1 << 18,
        progress: recorder)
    }
    let whole = RunRecorder()
    _ = try drift(whole)
    #expect(whole.isOrdered && whole.heard.count > 10)
    #expect(whole.heard.last?.fraction == 1)
    let stopped = RunRecorder { if $0.heard.count == 7 { throw StoppedByTest() } }
    #expect(throws: StoppedByTest.self) { try drift(stopped) }
    #expect(stopped.heard.count == 7)

    let directory = try TemporaryDirectory()
    let writing = RunRecorder { if $0.heard.count == 2 { throw StoppedByTest() } }
    #expect(throws: StoppedByTest.self) {
      try LogitsFile.write(
        pair.base, named: "a", windows: windows, to: directory.path("logits"), memory: 1 << 18, progress: writing)
    }
    #expect(directory.contents.isEmpty)
  }

  @Test func likelihoodEqualsTheReferencesLoss() throws {
    let windows = try randomWindows(4, context: 16, vocabulary: 50, seed: 3)
    let pair = randomPair(rows: windows.rowCount, vocabulary: 50, spread: 5, noise: 1, seed: 4)
    let drift = try Drift.measure(
      base: ("a", pair.base), candidates: [("b", pair.candidate)], windows: windows, memory: scoringMemory)[0]
    let likelihood = try Likelihood.measuring(pair.candidate, windows: windows, memory: scoringMemory)
    #expect(likelihood.losses == drift.losses)
    let statistics = likelihood.statistics()
    #expect(statistics.positions == windows.rowCount)
    #expect(abs(statistics.perplexity.value - exp(drift.losses.reduce(0, +) / Double(windows.rowCount))) < 1e-12)
  }

  /// Tiles and threads change the speed, but not the figures.
  @Test func doesNotDependOnMemoryOrThreads() throws {
    let windows = try randomWindows(8, context: 32, vocabulary: 5000, seed: 5)
    let pair = randomPair(rows: windows.rowCount, vocabulary: 5000, spread: 8, noise: 0.5, seed: 6)
    func measure(memory: Int) throws -> [Drift] {
      try Drift.measure(
        base: ("a", pair.base), candidates: [("b", pair.candidate)], windows: windows, memory: memory)
    }
    let expected = try measure(memory: 1 << 28)
    #expect(try measure(memory: 1) == expected)
    let actual = try withFixedThreads {
      Threads.count = 1
      return try measure(memory: 1 << 20)
    }
    #expect(actual == expected)
  }

  @Test(arguments: [Float.nan, .infinity])
  func namesTheModelAndPositionOfABadLogit(value: Float) throws {
    let windows = try randomWindows(3, context: 8, vocabulary: 40, seed: 7)
    var pair = randomPair(rows: windows.rowCount, vocabulary: 40, spread: 5, noise: 1, seed: 8)
    pair.candidate.values[4 * 40 + 17] = value
    // Three rows per window: row 4 is position 5 of window 1.
    #expect(throws: ScoringError.nonFiniteLogits(model: "b", window: 1, position: 5)) {
      try Drift.measure(
        base: ("a", pair.base), candidates: [("b", pair.candidate)], windows: windows, memory: scoringMemory)
    }
    #expect(throws: ScoringError.nonFiniteLogits(model: "b", window: 1, position: 5)) {
      try Likelihood.measuring(pair.candidate, named: "b", windows: windows, memory: scoringMemory)
    }
  }

  @Test func refusesMismatches() throws {
    let windows = try randomWindows(2, context: 8, vocabulary: 40, seed: 9)
    let a = randomPair(rows: windows.rowCount, vocabulary: 40, spread: 5, noise: 1, seed: 10).base
    let wide = randomPair(rows: windows.rowCount, vocabulary: 41, spread: 5, noise: 1, seed: 10).base
    let long = randomPair(rows: windows.rowCount + 1, vocabulary: 40, spread: 5, noise: 1, seed: 10).base
    #expect(throws: ScoringError.vocabulariesDiffer(base: "a", baseCount: 40, model: "b", count: 41)) {
      try Drift.measure(base: ("a", a), candidates: [("b", wide)], windows: windows, memory: scoringMemory)
    }
    #expect(throws: ScoringError.positionsDiffer(model: "b", count: 7, expected: 6)) {
      try Drift.measure(base: ("a", a), candidates: [("b", long)], windows: windows, memory: scoringMemory)
    }
    let small = TableSource(rows: 6, vocabulary: 3, values: Array(repeating: 0, count: 18))
    #expect(throws: ScoringError.self) { try Likelihood.measuring(small, windows: windows, memory: scoringMemory) }
  }
}
