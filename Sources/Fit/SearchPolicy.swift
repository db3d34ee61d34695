/// The constants of a search for a better mix, each with its unit and its origin. "Chosen" means that the value worked on
/// small models (the demo model and a small mixture of experts) for the reason given, and that no study of it exists.
public struct SearchPolicy: Sendable {
  // MARK: amounts

  /// Maximum number of coefficient rounds, and of exchange rounds. The stopping rules below end them earlier: a round
  /// that gains less than a hundredth is the last.
  public var coefficientRounds = 6
  public var exchangeRounds = 6
  /// Number of candidates from random samples in a round, beside those from the fitted coefficients. Chosen:
  /// each costs the run of a whole mix, on all the text for candidates.
  public var samples = 3
  /// Number of tokens that candidates are measured on: 32 windows of 512. Chosen: as
  /// many as probes see at most.
  public var tokens = 16_384
  /// Maximum passes over these tokens for the probes of a round. With many groups, probes see less text. Chosen:
  /// the time of a round then does not grow with the number of groups.
  public var passes = 24.0
  /// Maximum number of mixes that run side by side. Their states share the memory.
  public var batch = 64

  // MARK: gains of a round, relative to the incumbent's drift

  /// A candidate of a coefficient round replaces the incumbent below this fraction of its drift. A gain of less than a
  /// fifth of a percent was noise of the text.
  public var candidateGain = 0.998
  /// The same for a set of exchanges, which is compared with the incumbent position by position.
  public var exchangeGain = 0.999
  /// Coefficient rounds end after one that leaves more than this fraction: the next costs as much and gains less.
  public var lastCoefficientRound = 0.99
  /// The same for exchange rounds.
  public var lastExchangeRound = 0.99

  // MARK: candidates

  /// Exponents of the fitted multipliers, one for each candidate. Prior and noise shrink the fit, so that a larger step is
  /// tried too.
  public var shares = [1, 1.5]
  /// Standard deviations of samples around the fitted coefficients. Chosen below 1: one deviation in
  /// each of n groups is the root of n deviations from the fit.
  public var temperature = 0.3
  /// Minimum relative change of a tensor's bytes in a single step; a smaller one measures little. From the sizes of types:
  /// Q4_K and IQ4_XS differ by 6 %, IQ1_S and TQ1_0 by 8 %, IQ1_S and IQ1_M by 12 %.
  public var minimumStep = 0.07

  // MARK: exchanges

  /// Factor of a step's standard error after every change of the incumbent. Chosen: a step's gain
  /// depends on the other tensors' types, so that old measurements count half (1/1.5²).
  public var ageing = 1.5
  /// Standard error of the surrogate's expectation of a step, relative to the incumbent's drift. The magnitude of the
  /// expectation is added to it.
  public var expectationError = 0.003
  /// Penalties of each step in a set, relative to the incumbent's drift: from all steps that gain to the few that surely
  /// do. The best of many measurements looks better than it is.
  public var penalties = [0, 0.0005, 0.0015, 0.003, 0.006]
  /// Maximum attempts to make the file of a set fit: the length of its header depends on the set.
  public var fittings = 4

  /// Constants of the fit of coefficients, and of the choice of steps.
  public var surrogate = SurrogatePolicy()
  public var steps = StepsPolicy()

  public init() {}
}

/// The constants of ``MixSurrogate``.
public struct SurrogatePolicy: Sendable {
  /// Standard deviation of a group's weight, relative to the common scale: about that of a class's worth between models
  /// (``Prior``: 0.2 to 0.8).
  public var spread = 0.7
  /// Lower bound of a returned multiplier. A coefficient fitted near 0 is usually noise.
  public var minimum = 0.1
  /// Lower bound of the common scale.
  public var minimumScale = 0.2
  /// A trial whose relative drift differs by y from the incumbent's gets an extra standard error of this times y: the error
  /// of the linear model grows with the distance. Chosen: sums of costs are off by a tenth to a third at the distance of a
  /// whole mix.
  public var curvature = 0.2
  /// Minimum variance of a trial: the square of one percent.
  public var variance = 1e-4
  /// A trial has the weight exp(-decay |y|): half at a third more or less drift. Chosen.
  public var decay = 2.0

  public init() {}
}

/// The constants of ``MixSteps``.
public struct StepsPolicy: Sendable {
  /// Number of moves that form exchanges of three: 120 give about 300,000 triples, which take tenths of a second.
  public var tripled = 120
  /// A coupling of two steps within this number of standard errors counts as zero.
  public var significance = 2.0

  public init() {}
}
