import Foundation
import GGUF
import Perplexity
import Quantize
import Tensors

/// Searches for a mix that is better than the allocation, by measuring: at few bits, errors are not additive.
///
/// ``CoefficientRound``s come first: they measure coefficients around the incumbent and allocate for them. Then
/// ``ExchangeRound``s measure single steps from the incumbent and try sets of them. Every candidate fits the target, and
/// one with less measured drift becomes the incumbent.
///
/// The result does not depend on the machine, and not on the clock unless `budget` ends the search.
public struct MixSearch {
  public struct Result: Sendable {
    public let types: [GGMLType]
    /// Mean divergence on the search's text, before and after the search.
    public let initial: Double
    public let final: Double
    public let trials: Int
    public let rounds: Int
    /// True if time ended the search: another run may find another mix.
    public let isCutShort: Bool
  }

  package let trials: any MixMeasuring
  /// Windows that candidates are measured on.
  package let windows: ScoringWindows
  /// Windows that single steps are measured on; none of them is in `windows`.
  package let stepWindows: ScoringWindows
  package let space: SearchSpace
  package var policy = SearchPolicy()
  /// Seed of the random numbers.
  package var seed: UInt64 = 1
  /// Seconds to search; nil for no limit. Probes see as much text as leaves time for a whole round, and a round begins only
  /// if it is expected to end in time.
  package var budget: Double?
  /// A clock in seconds.
  package var clock: () -> Double = { ProcessInfo.processInfo.systemUptime }

  package init(
    trials: any MixMeasuring, windows: ScoringWindows, stepWindows: ScoringWindows, space: SearchSpace
  ) {
    self.trials = trials
    self.windows = windows
    self.stepWindows = stepWindows
    self.space = space
  }

  /// - Parameter progress: its steps are rounds; ``FitNote/incumbent(divergence:)`` is noted after each.
  package func run(from initial: [GGMLType], progress: any RunObserver = NoObserver()) throws -> Result {
    let start = clock()
    let screen = windows.spread(policy.tokens / max(1, windows.context))
    var state = SearchState(
      trials: trials, space: space, policy: policy, screen: screen, seed: seed,
      incumbent: Measured(types: initial, drift: try trials.drifts(of: [initial], windows: screen)[0], level: 1),
      progress: progress
    ) { [clock, budget] seconds in
      budget.map { clock() - start + seconds >= $0 } ?? false
    }
    let first = state.incumbent
    guard let count = probeWindows(of: screen, seconds: clock() - start) else {
      state.isCutShort = true
      return try result(state, first)
    }
    let probed = screen.spread(count)
    var roundSeconds = 0.0
    let ending = try repeated(policy.coefficientRounds, &state, expecting: &roundSeconds) { state, _ in
      try CoefficientRound(windows: probed).run(&state)
    }
    if ending != .outOfTime {
      var exchange = ExchangeRound(probes: stepWindows, count: probed.windows.count)
      // Two steps of every group, where a coefficient round has one.
      roundSeconds *= 2
      _ = try repeated(policy.exchangeRounds, &state, expecting: &roundSeconds) { state, number in
        try exchange.run(&state, number: number)
      }
    }
    return try result(state, first)
  }

  /// The windows that probes see; nil if no round can end within the budget.
  ///
  /// - Parameter seconds: the time that the source and one mix took on the screen.
  private func probeWindows(of screen: ScoringWindows, seconds: Double) -> Int? {
    let count = Int(Double(screen.windows.count) * min(1, policy.passes / space.probePasses))
    guard let budget else { return count }
    let window = seconds / Double(2 * screen.windows.count)
    // The source and the candidates of a round.
    let judging = Double((1 + policy.shares.count + policy.samples) * screen.windows.count) * window
    let affordable = (budget - seconds - judging) / max(window * (1 + space.probePasses), 1e-12)
    return affordable < 1 ? nil : min(count, Int(min(affordable, 1e6)))
  }

  /// Runs rounds until one settles, time runs out or the limit is reached.
  ///
  /// - Parameter seconds: what a round is expected to take: as long as the one before.
  private func repeated(
    _ limit: Int, _ state: inout SearchState, expecting seconds: inout Double,
    _ round: (inout SearchState, Int) throws -> RoundEnd
  ) throws -> RoundEnd {
    for number in 0..<limit {
      guard !state.isLate(seconds) else {
        state.isCutShort = true
        return .outOfTime
      }
      state.rounds += 1
      let begin = clock()
      let end = try round(&state, number)
      seconds = clock() - begin
      if end == .outOfTime { state.isCutShort = true }
      guard end == .goOn else { return end }
    }
    return .settled
  }

  /// The better one of first and last on the whole text.
  private func result(_ state: SearchState, _ first: Measured) throws -> Result {
    let last = state.incumbent
    func result(_ types: [GGMLType], _ initial: Double, _ final: Double) -> Result {
      Result(
        types: types, initial: initial, final: final, trials: state.trialCount, rounds: state.rounds,
        isCutShort: state.isCutShort)
    }
    guard state.screen.windows.count < windows.windows.count, last.types != first.types else {
      return result(last.types, first.drift.mean, last.drift.mean)
    }
    let whole = try trials.drifts(of: [first.types, last.types], windows: windows)
    let gains = WindowBalance.changes(to: whole[1], from: whole[0], rows: windows.scored.count).reduce(0, +) < 0
    return result(gains ? last.types : first.types, whole[0].mean, whole[gains ? 1 : 0].mean)
  }
}
