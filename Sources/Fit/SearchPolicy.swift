/// The constants of a search for a better mix, each with its unit and where it comes from. Where a note says "chosen", the
/// value is one that worked on small models (the demo model and a small mixture), and no study of it exists.
public struct SearchPolicy: Sendable {
  // MARK: amounts

  /// Rounds of coefficients, and rounds of exchanges. Bounds: the stopping rules below end them earlier. Chosen.
  public var coefficientRounds = 6
  public var exchangeRounds = 6
  /// Candidates of a round from samples, beside those of the fitted coefficients. Chosen.
  public var samples = 3
  /// Tokens that candidates are measured on: 32 windows of 512. Chosen.
  public var tokens = 16_384
  /// Passes over these tokens that a round's probes may take; where groups are many, probes see less text. Chosen.
  public var passes = 24.0
  /// Mixes that run side by side: their states share the memory.
  public var batch = 64

  // MARK: when a round has gained, as parts of the incumbent's drift

  /// A candidate of a coefficient round replaces the incumbent when it has less than this part of its drift. Less than a
  /// fifth of a percent was noise of the text.
  public var candidateGain = 0.998
  /// The same for a set of exchanges, which is measured against the incumbent on the same positions.
  public var exchangeGain = 0.999
  /// Coefficient rounds end where one leaves more than this part: the next costs as much and gains less.
  public var lastCoefficientRound = 0.99
  /// An exchange round fails where it leaves more than this part.
  public var failedExchangeRound = 0.997
  /// Exchange rounds end with the failure of this number in a row: another part of the text may show what one hid.
  public var failures = 2

  // MARK: candidates

  /// Candidates from the fitted coefficients, by the power that their multipliers are raised to: prior and noise hold the
  /// fit back, so that a step beyond it is tried too.
  public var shares = [1, 1.5]
  /// Standard deviations of samples around the fitted coefficients. Chosen.
  public var temperature = 0.3
  /// A single step changes a tensor's bytes by at least this part: less says little. From the sizes of types:
  /// Q4_K and IQ4_XS differ by 6 %, IQ1_S and TQ1_0 by 8 %, IQ1_S and IQ1_M by 12 %.
  public var leastStep = 0.07

  // MARK: exchanges

  /// What a step that was measured around an earlier incumbent still says: its error grows by this factor. Chosen.
  public var ageing = 1.5
  /// The standard error of what the surrogate expects of a step, beside the whole of it: part of the incumbent's drift.
  public var expectationError = 0.003
  /// What each step of a set has to gain beyond its cost, as parts of the incumbent's drift: from all sets that gain to the
  /// few that gain surely. The best of many measurements looks better than it is.
  public var penalties = [0, 0.0005, 0.0015, 0.003, 0.006]
  /// Attempts to make a set's file fit, whose header depends on it.
  public var fittings = 4

  /// How measurements become coefficients, and which steps are taken together.
  public var surrogate = SurrogatePolicy()
  public var steps = StepsPolicy()

  public init() {}
}

/// The constants of ``MixSurrogate``.
public struct SurrogatePolicy: Sendable {
  /// Standard deviation of a group's weight around the common scale, in parts of it. Chosen.
  public var spread = 0.7
  /// Lower bound of a returned multiplier. A coefficient that is fitted near 0 is usually noise.
  public var least = 0.1
  /// Lower bound of the common scale.
  public var leastScale = 0.2
  /// The standard error of a trial that lies y away from the incumbent (a relative drift) is this times y, beside its own:
  /// what a linear model leaves out grows with the distance. Chosen.
  public var curvature = 0.2
  /// The square of one percent: no trial is surer than that.
  public var variance = 1e-4
  /// A trial counts by exp(-decay |y|): half as much at a third more or less drift. Chosen.
  public var decay = 2.0

  public init() {}
}

/// The constants of ``MixSteps``.
public struct StepsPolicy: Sendable {
  /// Moves that exchanges of three are made of: 120 make some 300,000 triples, tenths of a second.
  public var tripled = 120
  /// Standard errors within which a coupling of two steps counts as zero.
  public var significance = 2.0

  public init() {}
}
