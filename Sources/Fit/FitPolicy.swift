import Foundation

/// The constants of a fit, except those of its search (``SearchPolicy``), each with its unit and its reason.
public struct FitPolicy: Sendable {
  /// Maximum tokens of a window. llama.cpp's default, which published divergences use.
  public var context = 512
  /// Windows for probes. With four, a standard error over windows exists at all. With 32 (8192 scored
  /// positions), most probes of the demo model have a smaller standard error than the fifth that a coefficient is uncertain
  /// by anyway (`probeError` in ``CoefficientPosterior``).
  public var probeWindows = 4...32
  /// Windows for the search, and for the last comparison: more than for probes, as neighbouring mixes differ by percents. Beyond
  /// 131,072 tokens, errors fall with the root of the text only.
  public var judgingWindows = 4...256
  /// Passes over each part that the budget must cover: a probe of every class in two bands of layers, or a round of the
  /// search with its candidates, takes some dozens.
  public var passes = 60.0
  /// The share of the budget for sensitivities. Half: other targets use them again, while a search serves one target.
  public var sensitivityShare = 0.5
  /// The search's share of the time that remains after sensitivities. The last comparison gets the rest: seven mixes on its
  /// windows, where a round of the search runs dozens.
  public var searchShare = 0.8
  /// Windows of the last comparison at least: without it, nothing says whether the measurements were worth anything. Two, so
  /// that one unusual text does not decide.
  public var fewestWindows = 2
  /// The part of the budget that this least comparison takes at most: where it would take more, neither it nor
  /// probes and a search run.
  public var comparisonShare = 0.4
  /// A mix that was measured is taken if it gains more than this number of standard errors of its gain over the mix without
  /// probes. Two: the text of a user differs from calibration text by more than windows of the latter differ. With one, six
  /// minutes made a file of SmolLM2 5 % worse on WikiText-2.
  public var gainErrors = 2.0
  /// Number of stock mixes that a fit is compared with: the largest is not always the best.
  public var stockMixes = 3
  /// A stock mix may exceed the target by this factor. A target is often the size of a file of llama-quantize, which lacks
  /// the keys for provenance (one or two kilobytes).
  public var stockTolerance = 1.001

  /// Part of a given budget that the importance pass takes at most. Mean squares of a column converge with the root of the
  /// tokens, and enter errors as weights only: a quarter leaves most of the time to what decides about types.
  public var importanceShare = 0.25
  /// Part of the time for sensitivities that errors take at most: a sample of 65,536 weights determines an error to two
  /// percent, far better than any probe determines a coefficient.
  public var errorShare = 0.2

  public init() {}

  /// Seconds for measuring and searching where none are given.
  ///
  /// As long as the importance pass and the encoding together, which have to be waited for anyway. A small model may take
  /// three times that, up to ten minutes, and a minute is always worth it.
  ///
  /// - Parameter work: seconds of the importance pass and of the encoding.
  package func autoBudget(_ work: Double) -> Double { max(work, min(600, max(60, 3 * work))) }

  /// Nanoseconds per weight and processor that encoding takes: the mean of all types in Documentation/benchmarks.md.
  static let encodingNanoseconds = 40.0

  /// Seconds of encoding for amounts of work, as ``nominalSpeed``.
  static func nominalEncoding(_ weights: Int) -> Double {
    Double(weights) * encodingNanoseconds * 1e-9 / Double(ProcessInfo.processInfo.activeProcessorCount)
  }

  /// Floating-point operations per second, for converting seconds to work: what a core reaches in a forward pass
  /// (Documentation/benchmarks-forward.md), times the number of processors (not of threads).
  static let nominalSpeed = 7.5e10 * Double(ProcessInfo.processInfo.activeProcessorCount)

  /// The speed by which amounts of text follow from a budget. Where none is given, a quarter of the nominal one, so that a run
  /// ends in time and gives the same result on a slow or busy machine; a user who gives one wants it used.
  static func speed(isGiven: Bool) -> Double { nominalSpeed * (isGiven ? 0.6 : 0.25) }
}
