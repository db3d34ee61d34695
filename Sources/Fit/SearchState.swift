import GGUF
import Perplexity
import Tensors

/// The outcome of a round.
enum RoundEnd: Equatable {
  /// Another round may gain.
  case goOn
  case settled
  case outOfTime
}

/// A mix and its measured drift.
struct Measured {
  let types: [GGMLType]
  let drift: Drift
  /// Drift relative to the initial mix's on the same text.
  let level: Double
}

/// The state that the rounds of a search share.
struct SearchState {
  let trials: any MixMeasuring
  let space: SearchSpace
  let policy: SearchPolicy
  /// The windows that candidates are measured on.
  let screen: ScoringWindows
  var incumbent: Measured
  var surrogate = MixSurrogate()
  var random: SplitMix
  /// Mixes that were measured on the screen.
  var seen: Set<[GGMLType]>
  var trialCount = 1
  var rounds = 0
  var isCutShort = false
  /// Whether some seconds from now are beyond the budget.
  let isLate: (Double) -> Bool
  private let progress: any RunObserver

  init(
    trials: any MixMeasuring, space: SearchSpace, policy: SearchPolicy, screen: ScoringWindows, seed: UInt64,
    incumbent: Measured, progress: any RunObserver, isLate: @escaping (Double) -> Bool
  ) {
    self.trials = trials
    self.space = space
    self.policy = policy
    self.screen = screen
    self.incumbent = incumbent
    self.isLate = isLate
    self.progress = progress
    random = SplitMix(seed: seed)
    seen = [incumbent.types]
    surrogate.policy = policy.surrogate
    surrogate.add(MixSurrogate.Trial(costs: space.costs(incumbent.types), level: 1, error: 0))
  }

  /// Measures mixes and counts them as trials. Mixes in `more` are measured too, but not counted.
  mutating func measure(
    _ mixes: [[GGMLType]], beside more: [[GGMLType]] = [], windows: ScoringWindows
  ) throws -> [Drift] {
    // The number of measurements of a round is not known, so that they do not advance the fraction.
    let drifts = try trials.drifts(
      of: more + mixes, windows: windows, progress: PartObserver(of: progress, from: fraction, share: 0))
    trialCount += mixes.count
    return drifts
  }

  private var roundCount: Int { policy.coefficientRounds + policy.exchangeRounds }

  private var fraction: Double { roundCount == 0 ? 1 : Double(rounds) / Double(roundCount) }

  func report() throws {
    progress.note(FitNote.incumbent(divergence: incumbent.drift.mean))
    try progress.advance(RunProgress(fraction: fraction, step: rounds, stepCount: roundCount))
  }

  /// The surrogate around the incumbent.
  var fit: MixSurrogate.Fit {
    surrogate.fit(costs: space.costs(incumbent.types), level: incumbent.level, drift: incumbent.drift.mean)
  }

  /// Measures candidates on the screen. A candidate replaces the incumbent if its level is below `gain` times the
  /// incumbent's.
  ///
  /// - Parameter learn: called with each candidate's trial.
  mutating func judge(_ field: [[GGMLType]], gain: Double, learn: (inout MixSurrogate, MixSurrogate.Trial) -> Void)
    throws
  {
    let base = incumbent
    for (types, drift) in zip(field, try measure(field, windows: screen)) {
      let trial = trial(types, drift, against: base.drift, level: base.level)
      learn(&surrogate, trial)
      if trial.level < incumbent.level * gain {
        incumbent = Measured(types: types, drift: drift, level: trial.level)
      }
    }
    try report()
  }

  /// A measurement relative to another one on the same text; every window counts alike.
  func trial(_ types: [GGMLType], _ drift: Drift, against base: Drift, level: Double) -> MixSurrogate.Trial {
    let change = Estimate(meanOf: WindowBalance.changes(to: drift, from: base, rows: screen.scored.count))
    return MixSurrogate.Trial(
      costs: space.costs(types), level: level * (1 + change.value), error: level * change.error)
  }
}
