import Fit
import GGUF
import Perplexity
import Tensors
import TestSupport
import Testing

/// Stopping rules of searches, with trials of given results.
@Suite struct SearchRulesTests {
  /// Five tensors, each in a separate group, with three types.
  private static let types: [GGMLType] = [.q2_K, .q4_K, .q8_0]
  private static let options: [[AllocationOption]] = Array(
    repeating: zip(types, [(100, 1.0), (200, 0.3), (400, 0.1)]).map {
      AllocationOption(type: $0, bytes: $1.0, cost: $1.1)
    }, count: 5)
  private static let tensors = (0..<5).map {
    TensorInfo(name: "blk.\($0).ffn_up.weight", shape: Shape([256, 4])!, type: .f16)
  }
  private let start = [GGMLType](repeating: .q4_K, count: 5)

  private final class Trials: MixMeasuring {
    /// Mean divergence of a mix, by number of windows.
    let drift: ([GGMLType], Int) -> Double
    /// Factors of it, by window.
    var factors: ([GGMLType]) -> [Double] = { _ in [] }
    private(set) var count = 0
    /// A second for every window of every mix and of the source.
    private(set) var seconds = 0.0

    init(_ drift: @escaping ([GGMLType], Int) -> Double) { self.drift = drift }

    func drifts(
      of mixes: [[GGMLType]], windows: ScoringWindows, progress: any RunObserver
    ) throws -> [Drift] {
      count += mixes.count
      seconds += Double((mixes.count + 1) * windows.windows.count)
      return mixes.map { mix in
        let rows = windows.rowCount
        let (mean, factors) = (drift(mix, windows.windows.count), factors(mix))
        return Drift(
          divergences: (0..<rows).map { row in
            let window = row / windows.scored.count
            return factors.indices.contains(window) ? mean * factors[window] : mean
          },
          baseLosses: Array(repeating: 1, count: rows), losses: Array(repeating: 1, count: rows),
          sameTops: Array(repeating: true, count: rows))
      }
    }
  }

  private func windows(_ count: Int) throws -> ScoringWindows {
    try ScoringWindows(tokens: (0..<Int32(count * 8)).map { $0 }, context: 8, bos: nil)
  }

  private func search(
    _ trials: Trials, allocations: [[GGMLType]] = [], spare: Int = 0, windows count: Int = 4
  ) throws -> MixSearch {
    var remaining = allocations
    let space = SearchSpace(tensors: Self.tensors, options: Self.options, groups: [7, 3, 5, 9, 1]) { [start] _ in
      remaining.isEmpty ? start : remaining.removeFirst()
    } spare: { types in
      spare + 1000
        - zip(types, Self.options).reduce(0) { sum, one in sum + one.1.first { $0.type == one.0 }!.bytes }
    }
    var search = MixSearch(
      trials: trials, windows: try windows(count), stepWindows: try windows(4), space: space)
    search.policy.samples = 0
    search.policy.shares = [1]
    return search
  }

  /// Mixes that differ from the start and from each other by more than a step.
  private var chain: [[GGMLType]] {
    (1..<5).map { number in start.indices.map { $0 < number ? .q8_0 : .q2_K } }
  }

  /// Every allocation is better than the previous one by a factor; all other mixes equal the start.
  private func chained(_ factor: Double) -> Trials {
    let chain = chain
    return Trials { types, _ in
      var level = 1.0
      for mix in chain {
        level *= factor
        if mix == types { return level }
      }
      return 1
    }
  }

  @Test func roundsThatGainGoOnToTheLimit() throws {
    var search = try search(chained(0.9), allocations: chain)
    search.policy.exchangeRounds = 0
    search.policy.coefficientRounds = 3
    let result = try search.run(from: start)
    #expect(result.rounds == 3 && result.types == chain[2] && !result.isCutShort)
    #expect(abs(result.final - 0.729) < 1e-12 && result.initial == 1)
  }

  /// An observer receives every round and its best mix, and can stop the search.
  @Test func anObserverFollowsASearch() throws {
    var search = try search(chained(0.9), allocations: chain)
    search.policy.exchangeRounds = 1
    search.policy.coefficientRounds = 3
    let recorder = RunRecorder()
    _ = try search.run(from: start, progress: recorder)
    #expect(recorder.isOrdered && recorder.steps.prefix(3) == [1, 2, 3])
    let divergences = recorder.notes.compactMap { note -> Double? in
      if case .incumbent(let divergence) = note as? FitNote { divergence } else { nil }
    }
    #expect(zip(divergences, [0.9, 0.81, 0.729]).allSatisfy { abs($0 - $1) < 1e-12 } && divergences.count > 2)
    #expect(throws: StoppedByTest.self) {
      try self.search(chained(0.9), allocations: chain).run(
        from: start, progress: RunRecorder { _ in throw StoppedByTest() })
    }
  }

  /// A gain of half a percent is accepted, and ends the coefficient rounds; a tenth of a percent is noise.
  @Test(arguments: [(0.995, true), (0.999, false)]) func smallGainsEndTheRounds(factor: Double, isTaken: Bool) throws {
    var search = try search(chained(factor), allocations: chain)
    search.policy.exchangeRounds = 0
    let result = try search.run(from: start)
    #expect(result.rounds == 1 && result.types == (isTaken ? chain[0] : start))
  }

  @Test func aRoundWithoutNewCandidatesIsTheLast() throws {
    let trials = chained(0.9)
    var search = try search(trials)
    search.policy.exchangeRounds = 0
    let result = try search.run(from: start)
    // The start and its neighbour in each group.
    #expect(result.rounds == 1 && result.trials == 6 && trials.count == 6 && result.types == start)
  }

  /// Exchanges end after a round that gains less than a hundredth.
  @Test func exchangesEndWithoutAGain() throws {
    var search = try search(Trials { _, _ in 1 })
    search.policy.coefficientRounds = 0
    let result = try search.run(from: start)
    #expect(result.rounds == 1 && result.types == start && !result.isCutShort)
  }

  /// Raising one tensor gains more than lowering two loses: one exchange finds it, and one more round finds nothing.
  @Test func exchangesFindWhatTheTableHides() throws {
    let worths = [0.5, 0.01, 0.01, 0.3, 0.3]
    let trials = Trials { types, _ in
      var drift = 1.0
      for (type, worth) in zip(types, worths) {
        if type == .q8_0 { drift -= worth }
        if type == .q2_K { drift += worth }
      }
      return drift
    }
    var search = try search(trials)
    search.policy.coefficientRounds = 0
    let result = try search.run(from: start)
    let expected: [GGMLType] = [.q8_0, .q2_K, .q2_K, .q4_K, .q4_K]
    #expect(result.types == expected)
    #expect(result.rounds == 2 && abs(result.final - 0.52) < 1e-12)
  }

  /// Every measurement takes a second for each pass over a window. Rounds end within the budget: probes see less text, and a
  /// round that would end too late does not begin.
  @Test(arguments: [50.0, 100, 200]) func roundsEndWithinTheBudget(budget: Double) throws {
    let trials = chained(0.9)
    var search = try search(trials, allocations: chain)
    search.policy.exchangeRounds = 0
    search.clock = { trials.seconds }
    search.budget = budget
    let result = try search.run(from: start)
    #expect(result.rounds > 0 && trials.seconds <= budget, "\(result.rounds) rounds, \(trials.seconds) s")
  }

  @Test func withoutTimeTheStartIsLeft() throws {
    var search = try search(chained(0.9), allocations: chain)
    search.budget = 0
    let result = try search.run(from: start)
    #expect(result.isCutShort && result.rounds == 0 && result.types == start && result.final == result.initial)
  }

  /// A round of many probes can end between two batches; its measurements are then not used.
  @Test(arguments: [true, false]) func timeEndsARoundBetweenBatches(coefficients: Bool) throws {
    let trials = chained(0.9)
    var search = try search(trials, allocations: chain)
    search.policy.batch = 2
    if !coefficients { search.policy.coefficientRounds = 0 }
    var now = 0.0
    search.clock = {
      now += 1
      return now
    }
    search.budget = 2.5
    let result = try search.run(from: start)
    #expect(result.isCutShort && result.rounds == 1 && result.types == start)
    #expect(trials.count < 8, "\(trials.count)")
  }

  /// A mix that is better on some of the text is checked on all of it.
  @Test(arguments: [(1.2, false), (0.95, true)]) func theWholeTextDecides(onAll: Double, isKept: Bool) throws {
    let better = chain[0]
    let trials = Trials { types, count in types == better ? (count > 2 ? onAll : 0.5) : 1 }
    var search = try search(trials, allocations: [better], windows: 10)
    search.policy.tokens = 16
    search.policy.exchangeRounds = 0
    let result = try search.run(from: start)
    #expect(result.types == (isKept ? better : start))
    #expect(result.initial == 1 && abs(result.final - (isKept ? 0.95 : 1)) < 1e-12)
  }

  /// The first of four windows has ten times the divergence of the others. A mix that gains a tenth there and loses a twentieth
  /// in each of the others has the smaller mean, but is worse.
  @Test(arguments: [(0.9, 1.05, false), (1.05, 0.9, true)])
  func everyWindowCountsAlike(loud: Double, quiet: Double, isTaken: Bool) throws {
    let trials = Trials { _, _ in 1 }
    let other = chain[0]
    trials.factors = { $0 == other ? [10 * loud, quiet, quiet, quiet] : [10, 1, 1, 1] }
    var search = try search(trials, allocations: [other])
    search.policy.exchangeRounds = 0
    #expect(try search.run(from: start).types == (isTaken ? other : start))
  }

  /// Measuring decides only where a mix gains more than two standard errors of its gain.
  @Test(arguments: [(0.02, 0.9, 0), (0.02, 0.995, 2), (0.3, 0.95, 2), (0.02, 1.1, 2)])
  func aGainWithinItsErrorIsNone(noise: Double, level: Double, chosen: Int) throws {
    var random = SplitMix(seed: 7)
    let base = (0..<64).map { _ in 0.5 + random.fraction() }
    func drift(_ divergences: [Double]) -> Drift {
      let ones = divergences.map { _ in 1.0 }
      return Drift(divergences: divergences, baseLosses: ones, losses: ones, sameTops: ones.map { _ in true })
    }
    let sign = base.indices.map { $0 / 4 % 2 == 0 ? noise : -noise }
    let drifts = [drift(zip(base, sign).map { $0 * (level + $1) }), drift(base.map { 1.01 * $0 }), drift(base)]
    #expect(StockComparison.choice(of: drifts, against: 2, rows: 4, errors: 2) == chosen)
  }

  /// A comparison takes at most its share of the budget; without it, nothing is measured.
  @Test func stagesThatABudgetAllows() {
    let minimum = MinimumTimes(
      window: 1, encoding: 2, errors: 4, passes: 12, probed: 8, judged: 1, candidates: 5, compared: 2, mixes: 6,
      after: 3)
    // 14 windows of mixes and source, 10 of the file, stock mixes and source afterwards, and nine encodings.
    #expect(minimum.probes == 100 && minimum.search == 21 && minimum.comparison == 42)
    func stages(_ seconds: Double, given: Bool = false, compares: Bool = true) -> [Bool] {
      let choice = StageChoice(
        minimum, available: seconds, given: given, searches: true, compares: compares, FitPolicy())
      #expect(choice.reserved == (choice.comparison ? 42 : 0))
      return [choice.probes, choice.search, choice.comparison]
    }
    #expect(stages(104) == [false, false, false])
    #expect(stages(106) == [false, false, true])
    #expect(stages(143) == [true, false, true])
    #expect(stages(170) == [true, true, true])
    // Given sensitivities need no probes, and a text of one window leaves nothing to compare.
    #expect(stages(106, given: true) == [true, true, true] && stages(50, given: true) == [true, false, false])
    #expect(stages(99, compares: false) == [false, false, false])
    #expect(stages(100, compares: false) == [true, false, false])
  }
}
