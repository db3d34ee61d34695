import Foundation
import GGUF
import Imatrix
import Perplexity
import Quantize
import Tensors
import Transformer

/// The time that a job has spent of its budget.
final class BudgetClock {
  /// Seconds of the importance pass.
  var importance = 0.0
  /// System uptime at which the job would have begun with its importance.
  private(set) var start = 0.0

  static func now() -> Double { ProcessInfo.processInfo.systemUptime }

  /// Starts the other stages.
  func begin() { start = Self.now() - importance }

  var spent: Double { Self.now() - start }
}

extension FitJob {
  /// The input of all stages that run text.
  struct Inputs {
    let matrix: ImportanceMatrix?
    let texts: FitTexts
    let goal: FitTarget
    /// A digest of everything that the choice of types depends on.
    let key: String
  }

  /// Measured sensitivities, with the input of the next stages.
  struct Measured {
    let inputs: Inputs
    let table: SensitivityTable
    /// Runs mixes. The search and the last comparison share the tensors that it has encoded.
    let trials: MixTrials
    let minimum: MinimumTimes
    let stages: StageChoice
    var texts: FitTexts { inputs.texts }
  }

  /// Seconds of the budget that are left.
  func remaining(of texts: FitTexts) -> Double { texts.budget - clock.spent }

  /// The minimum times of the stages.
  ///
  /// - Parameter costs: measured times of encoding, which are asked for only where a budget is given.
  func minimumTimes(_ texts: FitTexts, _ costs: @autoclosure () throws -> WeightCosts) throws -> MinimumTimes {
    let pass = try ForwardPass(source: source, options: settings.forward)
    let plan = try pass.plan(windows: 1, length: texts.context)
    let types = SensitivityTable.types(of: source, hasImportance: !importanceInput.isNothing)
    let (window, encoding, errors): (Double, Double, Double)
    if budget != nil {
      let costs = try costs()
      window = try pass.estimatedSeconds(plan)
      encoding = costs.encoding(as: try expectedTypes(types)).seconds
      errors = costs.errors(limit: RelativeErrors.minimumWeights).seconds
    } else {
      let counts = source.tensors.filter(\.isQuantizable).map(\.shape.count)
      let sampled = counts.reduce(0) { $0 + min($1, RelativeErrors.minimumWeights) }
      window = plan.operations / FitPolicy.nominalSpeed
      encoding = FitPolicy.nominalEncoding(counts.reduce(0, +))
      errors = FitPolicy.nominalEncoding(sampled * types.count)
    }
    let layers = try Decoder(source).layerCount
    let groups = ProbeGroup.all(of: source, layers: layers, bands: 1)
    return MinimumTimes(
      window: window, encoding: encoding, errors: errors,
      passes: 2 + ProbeGroup.passes(groups, layers: layers), probed: texts.probes.windows.count,
      judged: min(texts.search?.windows.count ?? 0, max(1, searchPolicy.tokens / max(1, texts.context))),
      candidates: searchPolicy.shares.count + searchPolicy.samples,
      compared: min(texts.final?.windows.count ?? 0, policy.fewestWindows),
      mixes: policy.stockMixes + (searches ? 3 : 2), after: feedback == nil ? 0 : policy.stockMixes)
  }

  /// The stages that there is time for.
  func stageChoice(_ minimum: MinimumTimes, _ texts: FitTexts, available: Double, given: Bool) -> StageChoice {
    StageChoice(
      minimum, available: available, given: given, searches: searches && texts.search != nil,
      compares: texts.final != nil, policy)
  }

  /// As many windows for the last comparison as the remaining budget allows, by the speed of earlier measurements; without a
  /// given budget, as its share of nominal time allows. nil for none.
  func affordable(_ windows: ScoringWindows, _ measured: Measured, mixes: Int) -> ScoringWindows? {
    guard measured.stages.comparison else { return nil }
    let minimum = measured.minimum
    let encoding = Double(mixes + minimum.after) * minimum.encoding
    var (each, seconds) = (minimum.window, policy.comparisonShare * measured.texts.budget - encoding)
    if let budget {
      let left = remaining(of: measured.texts)
      // The comparison may exceed the budget by a twentieth.
      guard minimum.comparison(of: mixes, windows: minimum.compared) <= left + budget / 20 else { return nil }
      // The measured time includes encoding.
      seconds = measured.trials.windowSeconds == nil ? left - encoding : left
      each = measured.trials.windowSeconds ?? each
    }
    seconds /= max(each * Double(minimum.passCount(mixes)), 1e-12)
    return windows.spread(max(minimum.compared, Int(max(0, min(seconds, 1e6)))))
  }

  /// Compares a file that was written with error feedback with the nearest stock mixes without, on the text that no earlier
  /// stage has seen: what the file is worth beside those of llama-quantize. nil without text or time for it.
  ///
  /// - Parameter report: the windows are those of its comparison.
  public func compare(
    _ file: any ModelSource, _ matrix: ImportanceMatrix?, _ report: FitReport
  ) throws -> FitReport.Written? {
    guard runsModel, let text, let count = report.comparison?.windows else { return nil }
    let texts = try FitTexts(text, for: source, options: settings.forward, budget: budget, policy: policy)
    guard let windows = texts.final?.spread(count) else { return nil }
    let stage = FitStage.comparison(model: source.name)
    observer.begin(stage)
    let trials = try MixTrials(source: source, importance: matrix?.lookup, options: settings.forward)
    let written = try StockComparison(
      source: source, target: try goal(matrix), hasImportance: matrix != nil, policy: policy
    ).written(file, trials: trials, windows: windows, progress: observer)
    observer.end(stage)
    return written
  }
}
