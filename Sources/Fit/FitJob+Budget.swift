import Foundation
import GGUF
import Imatrix
import Perplexity
import Tensors
import Transformer

/// A stage that does not run, as the budget is too short for it.
public struct OmittedStage: Codable, Sendable, Equatable {
  public let stage: StageEstimate.Stage
  /// Seconds that it takes at least on this machine.
  public let seconds: Double
}

/// What the stages take at least, in seconds.
package struct LeastTimes {
  /// A probe of each class in all layers.
  let probes: Double
  /// A round of the search with one window for its steps.
  let search: Double
  /// All mixes on ``FitPolicy/fewestWindows``.
  let comparison: Double
  /// A pass over one window, and encoding the model once.
  let window: Double
  let encoding: Double

  package init(probes: Double, search: Double, comparison: Double, window: Double = 0, encoding: Double = 0) {
    self.probes = probes
    self.search = search
    self.comparison = comparison
    self.window = window
    self.encoding = encoding
  }

  /// The seconds to keep for the comparison. Where it would take most of the time, there is none.
  func reserved(of available: Double, _ policy: FitPolicy) -> Double {
    comparison <= policy.comparisonShare * available ? comparison : 0
  }

  /// Whether the last comparison can run. Without it, nothing confirms a search.
  package func hasComparison(in available: Double, _ policy: FitPolicy) -> Bool { reserved(of: available, policy) > 0 }

  package func hasProbes(in available: Double, _ policy: FitPolicy) -> Bool {
    probes <= available - reserved(of: available, policy)
  }

  package func hasSearch(in available: Double, _ policy: FitPolicy) -> Bool {
    hasComparison(in: available, policy) && search <= available - reserved(of: available, policy)
  }
}

extension FitJob {
  /// Measured sensitivities, with the input of the next stages.
  public struct Measured {
    public let matrix: ImportanceMatrix?
    public let table: SensitivityTable
    public let texts: FitTexts
    let goal: FitTarget
    /// Runs mixes. The search and the last comparison share the tensors that it has encoded.
    let trials: MixTrials
    /// System uptime at the start of the budget.
    let start: Double
    /// A digest of everything that the choice of types depends on.
    let key: String
    let least: LeastTimes
    /// Stages for which the budget was too short.
    var omitted: [OmittedStage] = []

    /// Seconds of the budget that are left.
    var remaining: Double { texts.budget - (FitJob.now() - start) }
  }

  /// What the stages take at least on this machine; where no budget is given, by nominal speeds, so that the result does not
  /// depend on the clock.
  func leastTimes(_ texts: FitTexts) throws -> LeastTimes {
    let pass = try ForwardPass(source: source, options: settings.forward)
    let plan = try pass.plan(windows: 1, length: texts.context)
    let (window, encoding): (Double, Double)
    if budget != nil {
      let types = SensitivityTable.types(of: source, hasImportance: !importanceInput.isNothing)
      encoding = try WeightCosts(source, types: types).encoding(as: try expectedTypes(types)).seconds
      window = try pass.estimatedSeconds(plan)
    } else {
      encoding = FitPolicy.nominalEncoding(source.tensors.reduce(0) { $0 + $1.shape.count })
      window = plan.operations / FitPolicy.nominalSpeed
    }
    let layers = try Decoder(source).layerCount
    let groups = ProbeGroup.all(of: source, layers: layers, bands: 1)
    let passes = ProbeGroup.passes(groups, layers: layers)
    let candidates = Double(1 + searchPolicy.shares.count + searchPolicy.samples)
    let judging = min(texts.search?.windows.count ?? 0, searchPolicy.tokens / max(1, texts.context))
    let mixes = Double(comparedMixes)
    return LeastTimes(
      probes: (1 + passes) * window * Double(texts.probes.windows.count),
      search: window * (Double(judging) * (2 + candidates) + 1 + passes) + encoding,
      comparison: (1 + mixes) * window * Double(policy.fewestWindows) + mixes * encoding,
      window: window, encoding: encoding)
  }

  /// Mixes of the last comparison, where all differ.
  var comparedMixes: Int { policy.stockMixes + (searches ? 3 : 2) }

  /// As many windows as the remaining budget allows for some mixes and the source, by the speed of earlier measurements;
  /// without a given budget, as its share of nominal time allows. nil for none.
  func affordable(_ windows: ScoringWindows, _ measured: Measured, mixes: Int) throws -> ScoringWindows? {
    let least = measured.least
    let each: Double
    var seconds: Double
    if let budget {
      // The budget holds within a tenth.
      guard least.comparison <= measured.remaining + budget / 20 else { return nil }
      each = measured.trials.windowSeconds ?? least.window
      seconds = measured.remaining
    } else {
      guard least.hasComparison(in: measured.texts.budget, policy) else { return nil }
      each = least.window
      seconds = policy.comparisonShare * measured.texts.budget - Double(mixes) * least.encoding
    }
    seconds /= max(each * Double(1 + mixes), 1e-12)
    return windows.spread(max(policy.fewestWindows, Int(max(0, min(seconds, 1e6)))))
  }
}
