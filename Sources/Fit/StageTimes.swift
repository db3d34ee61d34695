/// A stage that does not run, as the budget is too short for it.
public struct OmittedStage: Codable, Sendable, Equatable {
  public let stage: StageEstimate.Stage
  /// Minimum seconds: on this machine, or nominal without a given budget.
  public let seconds: Double
}

/// Minimum times of the stages, in seconds: on this machine, or nominal without a given budget, so that the result does not
/// depend on the clock.
package struct MinimumTimes: Sendable {
  /// A pass over one window.
  let window: Double
  /// Encoding the model once.
  let encoding: Double
  /// The errors of all tensors, from the smallest samples.
  let errors: Double
  /// Passes over the model for a probe of each class in all layers, the reference's and one that measures the time.
  let passes: Double
  /// Windows of the probes.
  let probed: Int
  /// Windows that the search's candidates are measured on.
  let judged: Int
  /// Candidates of a round of the search.
  let candidates: Int
  /// Windows of the last comparison at least.
  let compared: Int
  /// Mixes of the last comparison.
  let mixes: Int
  /// Stock mixes that a file with error feedback is compared with after it is written.
  let after: Int

  package init(
    window: Double, encoding: Double, errors: Double, passes: Double, probed: Int, judged: Int, candidates: Int,
    compared: Int, mixes: Int, after: Int
  ) {
    self.window = window
    self.encoding = encoding
    self.errors = errors
    self.passes = passes
    self.probed = probed
    self.judged = judged
    self.candidates = candidates
    self.compared = compared
    self.mixes = mixes
    self.after = after
  }

  package var probes: Double { errors + passes * window * Double(probed) }

  /// A round with one window for its steps.
  package var search: Double { window * (Double(judged * (2 + candidates)) + passes) + encoding }

  package var comparison: Double { comparison(of: mixes, windows: compared) }

  /// - Parameters:
  ///   - mixes: the number of mixes; the source is run too.
  ///   - windows: windows of each.
  func comparison(of mixes: Int, windows: Int) -> Double {
    Double(passCount(mixes) * windows) * window + Double(mixes + after) * encoding
  }

  /// Passes over each window of a comparison, and of the one after the file is written.
  func passCount(_ mixes: Int) -> Int { 1 + mixes + (after > 0 ? 2 + after : 0) }
}

/// The stages that a budget has time for.
package struct StageChoice: Sendable {
  package let probes: Bool
  package let search: Bool
  package let comparison: Bool
  /// Seconds that are kept for the comparison.
  package let reserved: Double

  /// Without a comparison, nothing confirms what was measured: then the types follow from other models.
  ///
  /// - Parameters:
  ///   - available: seconds for all stages.
  ///   - given: whether sensitivities are given or stored, so that no probes are needed.
  ///   - searches: whether a search is wanted, and has text.
  ///   - compares: whether text is left for a comparison. A text too short for it leaves no choice.
  package init(
    _ minimum: MinimumTimes, available: Double, given: Bool, searches: Bool, compares: Bool, _ policy: FitPolicy
  ) {
    comparison = compares && minimum.comparison <= policy.comparisonShare * available
    reserved = comparison ? minimum.comparison : 0
    let free = available - reserved
    probes = given || (comparison || !compares) && minimum.probes <= free
    let spent = given ? 0 : max(minimum.probes, policy.sensitivityShare * free)
    search = searches && probes && comparison && minimum.search <= policy.searchShare * (free - spent)
  }
}
