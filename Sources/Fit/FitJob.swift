import Files
import Foundation
import GGUF
import Imatrix
import Perplexity
import Quantize
import Tensors
import Transformer

/// Chooses the type of every tensor so that a file of a given size drifts least from its model.
///
///     let job = FitJob(of: model, target: 4_200_000_000, text: text, run: FitRun(version: "1"))
///     let matrix = try job.importance()
///     let report = try job.run(matrix)
///     let plan = try job.header(matrix, evidence: report.evidence).plan(report.types(for: model))
///
/// Each stage returns a value that the next one takes. A workspace stores the measurements, so that an interrupted job
/// continues where it stopped.
public struct FitJob {
  public let source: any ModelSource
  /// Maximum size of the file in bytes.
  public let target: Int
  /// The text of all measurements. Importance may come from elsewhere. Without text, or with a budget of 0, no forward pass
  /// runs, and coefficients come from other models (``Prior``).
  public let text: CalibrationText?
  public var importanceInput: ImportanceInput
  public var constraints = TypeConstraints()
  /// Metadata keys that the user sets.
  public var overrides: [(key: String, value: MetadataValue)] = []
  /// Error feedback of the file; nil for none. The types follow from the errors that it leaves.
  public var feedback: FitFeedback?
  /// Sensitivities from an earlier measurement, with the name of their file.
  public var given: (table: SensitivityTable, file: String)?
  /// Tables of jobs without a forward pass; jobs of one source may share them.
  public var priors = PriorTables()
  /// Seconds for everything but encoding; nil for what the model's size makes reasonable (``FitPolicy/autoBudget(_:)``).
  public var budget: Double?
  /// Whether to search for a mix that is better than the allocation.
  public var searches = true
  /// Seed of the search's random numbers.
  public var seed: UInt64 = 1
  public var policy = FitPolicy()
  public var searchPolicy = SearchPolicy()
  public var workspace: Workspace?
  public let settings: FitRun
  let clock = BudgetClock()

  public init(of source: any ModelSource, target: Int, text: CalibrationText?, run: FitRun) {
    self.source = source
    self.target = target
    self.text = text
    settings = run
    importanceInput = ImportanceInput(text.map { .measured($0) } ?? .nothing)
  }

  /// Why a model can't be run, so that only a job without text is possible for it; nil where it can.
  ///
  /// - Throws: `ForwardError` for a model that is damaged.
  public static func obstacle(to source: any ModelSource) throws -> ForwardError? {
    do {
      _ = try Decoder(source)
      return nil
    } catch let error as ForwardError {
      switch error {
      case .unknownArchitecture, .unsupportedValue, .unsupportedFactor, .unsupportedTensor: return error
      default: throw error
      }
    }
  }

  var observer: any RunObserver { settings.observer }

  /// The header of the file. Without a matrix, its provenance is a placeholder of the same length.
  ///
  /// - Parameter evidence: of the types; nil for the longest of those that the job can end with.
  public func header(_ matrix: ImportanceMatrix?, evidence: Evidence? = nil) throws -> OutputHeader {
    var header = OutputHeader(
      source: source, importance: importanceInput.provenance(matrix), fingerprint: try ModelFingerprint(of: source).hex,
      overrides: overrides)
    header.feedback = feedback?.provenance
    let table = given?.table.grade ?? (runsModel ? .measured : .prior)
    let possible = [table] + (runsModel && searches ? [.searched] : [])
    header.evidence = (evidence ?? possible.max { $0.rawValue.count < $1.rawValue.count })?.rawValue
    return header
  }

  /// False where no forward pass is run.
  var runsModel: Bool { text != nil && budget ?? 1 > 0 }

  /// Refuses a target that no file can have, before anything is measured.
  ///
  /// - Throws: `QuantizeError`
  public func check() throws { try goal(nil).check() }

  func goal(_ matrix: ImportanceMatrix?) throws -> FitTarget {
    FitTarget(
      target, header: try header(matrix), hasImportance: !importanceInput.isNothing,
      constraints: try effectiveConstraints(matrix))
  }

  /// The given constraints with the floors of ``FragileTensors`` and the limits of tensors without importance.
  public func effectiveConstraints(_ matrix: ImportanceMatrix?) throws -> TypeConstraints {
    var result = constraints
    result.safeguards = FragileTensors.safeguards(of: source)
    return try importanceInput.constraints(result, matrix, of: source)
  }

  // MARK: stages

  /// The text for error feedback: the last comparison must not see it. nil where no text is run.
  public func feedbackWindows() throws -> ScoringWindows? {
    guard runsModel, let text else { return nil }
    return try FitTexts(text, for: source, options: settings.forward, budget: budget, policy: policy).feedback
  }

  /// The importance matrix; nil if none is used.
  public func importance() throws -> ImportanceMatrix? {
    let start = BudgetClock.now()
    defer { clock.importance += BudgetClock.now() - start }
    var input = importanceInput
    input.seconds = budget.map { $0 * policy.importanceShare }
    return try input.matrix(of: source, in: settings, workspace: workspace)
  }

  /// Runs all stages in order.
  public func run(_ matrix: ImportanceMatrix?) throws -> FitReport {
    guard runsModel, let text else { return try estimate(matrix) }
    clock.begin()
    let inputs = try inputs(matrix, on: text)
    if let report = try keptReport(inputs) { return report }
    let measured = try sensitivities(inputs)
    let allocated = try allocate(measured)
    return try confirm(measured, allocated, try search(measured, from: allocated))
  }

  /// Chooses types without a forward pass.
  private func estimate(_ matrix: ImportanceMatrix?) throws -> FitReport {
    let goal = try goal(matrix)
    try goal.check()
    let table = try givenTable(matrix) ?? priors.table(of: source, matrix: matrix, in: settings)
    return report(
      try allocation(table, goal), evidence: table.grade, choice: .allocation, constraints: goal.constraints)
  }

  /// Sensitivities from a file, which must be this model's.
  private func givenTable(_ matrix: ImportanceMatrix?) throws -> SensitivityTable? {
    guard let given else { return nil }
    try given.table.check(against: source, file: given.file)
    if given.table.importanceFingerprint != matrix?.digest { settings.observer.note(FitNote.otherImportance) }
    return given.table
  }

  private func inputs(_ matrix: ImportanceMatrix?, on text: CalibrationText) throws -> Inputs {
    let goal = try goal(matrix)
    try goal.check()
    let texts = try FitTexts(text, for: source, options: settings.forward, budget: budget, policy: policy)
    return Inputs(matrix: matrix, texts: texts, goal: goal, key: try key(texts, matrix))
  }

  /// Sensitivities: given, stored by an earlier run, or measured now; without time for them, those of other models.
  private func sensitivities(_ inputs: Inputs) throws -> Measured {
    let (matrix, texts) = (inputs.matrix, inputs.texts)
    let types = SensitivityTable.types(of: source, hasImportance: !importanceInput.isNothing)
    let minimum = try minimumTimes(texts, try WeightCosts(source, types: types))
    // Without a given budget, the clock has no influence on the choice of stages.
    let available = budget == nil ? texts.budget : max(0, remaining(of: texts))
    func measurement(_ seconds: Double) -> SensitivityMeasurement {
      SensitivityMeasurement(
        of: source, matrix: matrix, windows: texts.probes, budget: seconds, limitsErrors: budget != nil, in: settings,
        policy: policy)
    }
    let isStored = try measurement(0).hasProbes(of: { workspace?.sensitivities(like: $0, NoObserver()) })
    let stages = stageChoice(minimum, texts, available: available, given: given != nil || isStored)
    let table =
      try givenTable(matrix)
      ?? (stages.probes
        ? measurement((available - stages.reserved) * policy.sensitivityShare).table(
          earlier: { workspace?.sensitivities(like: $0, observer) }, keep: { try workspace?.keep($0) })
        : priors.table(of: source, matrix: matrix, in: settings))
    return Measured(
      inputs: inputs, table: table,
      trials: try MixTrials(
        source: source, importance: matrix?.lookup, options: settings.forward, feedback: feedback?.factors),
      minimum: minimum, stages: stages)
  }

  /// The report of an interrupted run of the same job.
  private func keptReport(_ inputs: Inputs) throws -> FitReport? {
    guard let report = workspace?.report(key: inputs.key) else { return nil }
    observer.note(FitNote.typesReused)
    return report
  }

  /// The exact allocation for the measured costs.
  ///
  /// - Throws: `QuantizeError` where some tensor has no importance for the types that it would need.
  private func allocate(_ measured: Measured) throws -> [GGMLType] {
    try allocation(measured.table, measured.inputs.goal)
  }

  private func allocation(_ table: SensitivityTable, _ goal: FitTarget) throws -> [GGMLType] {
    let allocator = allocator(table, goal)
    if let types = try allocator.types(for: target) { return types }
    throw QuantizeError.targetTooSmall(
      target: target, smallest: try goal.size.bytes(of: allocator.smallest()), largest: try goal.largest())
  }

  /// The allocation before importance is known.
  func expectedAllocation(_ table: SensitivityTable) throws -> [GGMLType] { try allocation(table, try goal(nil)) }

  private func allocator(_ table: SensitivityTable, _ goal: FitTarget, scale: [Double]? = nil) -> TargetAllocator {
    TargetAllocator(
      table.options(goal.menus, alignment: goal.size.alignment, scale: scale, feedback: feedback?.factors),
      size: goal.size, upTo: target)
  }

  /// Searches for a mix that is better than the allocation; nil if the search is off, or time or text is too short.
  private func search(_ measured: Measured, from allocated: [GGMLType]) throws -> MixSearch.Result? {
    let seconds = (remaining(of: measured.texts) - measured.stages.reserved) * policy.searchShare
    guard measured.stages.search, budget == nil || seconds >= measured.minimum.search,
      let windows = measured.texts.search
    else { return nil }
    let space = SearchSpace(
      tensors: source.tensors, options: allocator(measured.table, measured.inputs.goal).options,
      groups: measured.table.groups(of: source)
    ) {
      try allocator(measured.table, measured.inputs.goal, scale: $0).types(for: target)
    } spare: {
      try target - measured.inputs.goal.size.bytes(of: $0)
    }
    var search = MixSearch(
      trials: measured.trials, windows: windows, stepWindows: measured.texts.probes, space: space)
    search.policy = searchPolicy
    search.budget = seconds
    search.seed = seed
    let stage = FitStage.search(
      model: source.name, rounds: searchPolicy.coefficientRounds + searchPolicy.exchangeRounds)
    observer.begin(stage)
    let result = try search.run(from: allocated, progress: observer)
    observer.note(FitNote.searched(trials: result.trials))
    observer.end(stage)
    return result
  }

  /// Compares the fitted mixes with stock mixes on text that no earlier stage has seen, and takes the best. With error
  /// feedback all of them are estimates: ``compare(_:_:_:)`` measures the file.
  private func confirm(
    _ measured: Measured, _ allocated: [GGMLType], _ found: MixSearch.Result?
  ) throws -> FitReport {
    let (texts, goal) = (measured.texts, measured.inputs.goal)
    var types = found?.types ?? allocated
    var choice: FitReport.Choice = found == nil ? .allocation : .search
    let grades = (measured: measured.table.grade, expected: measured.table.evidence ?? .prior)
    var comparison: FitReport.Comparison?
    let expected = try expected(measured)
    let candidates =
      [StockComparison.Candidate(choice: .allocation, types: allocated)]
      + (found.map { [StockComparison.Candidate(choice: .search, types: $0.types)] } ?? [])
      + (expected.map { [StockComparison.Candidate(choice: .expected, types: $0)] } ?? [])
    if let windows = texts.final.flatMap({ affordable($0, measured, mixes: candidates.count + policy.stockMixes) }) {
      let stage = FitStage.comparison(model: source.name)
      observer.begin(stage)
      let verdict = try StockComparison(
        source: source, target: goal, hasImportance: measured.inputs.matrix != nil, policy: policy
      ).verdict(
        of: candidates, against: given == nil ? expected ?? allocated : allocated, trials: measured.trials,
        windows: windows, progress: observer)
      observer.end(stage)
      (types, choice, comparison) = (verdict.types, verdict.choice, verdict.comparison)
    } else if texts.final != nil, given == nil, let expected {
      // Nothing confirms the measurements.
      (types, choice) = (expected, .expected)
    }
    let needed = searches ? FitTexts.neededWindows : FitTexts.neededWindows - 1
    var report = report(
      types, evidence: choice == .search ? .searched : choice == .expected ? grades.expected : grades.measured,
      choice: choice, constraints: goal.constraints)
    report.search = found.map { FitReport.Search(trials: $0.trials, rounds: $0.rounds, isCutShort: $0.isCutShort) }
    report.comparison = comparison
    report.isEstimated = feedback != nil
    if texts.windowCount < needed {
      report.shortage = FitReport.Shortage(windows: texts.windowCount, context: texts.context, needed: needed)
    }
    let minimum = measured.minimum
    if !measured.stages.probes { report.omitted.append(OmittedStage(stage: .probes, seconds: minimum.probes)) }
    if searches, found == nil, texts.search != nil {
      report.omitted.append(OmittedStage(stage: .search, seconds: minimum.search))
    }
    if comparison == nil, texts.final != nil {
      report.omitted.append(OmittedStage(stage: .comparison, seconds: minimum.comparison))
    }
    try workspace?.keep(report, key: measured.inputs.key)
    return report
  }

  /// The allocation without probes; nil where the table has no expectations.
  private func expected(_ measured: Measured) throws -> [GGMLType]? {
    var table = measured.table
    guard !table.probes.isEmpty, table.entries.allSatisfy({ $0.expectation != nil }) else { return nil }
    table.probes = []
    table.distribute()
    return try allocation(table, measured.inputs.goal)
  }

  private func report(
    _ types: [GGMLType], evidence: Evidence, choice: FitReport.Choice, constraints: TypeConstraints
  ) -> FitReport {
    var report = FitReport(
      types: Dictionary(zip(source.tensors, types).map { ($0.name, $1.name) }, uniquingKeysWith: { first, _ in first }),
      choice: choice, evidence: evidence)
    report.floors = FragileTensors.floors(of: source, under: constraints)
    if evidence == .prior { report.unmeasuredClasses = Prior(of: source).unmeasuredClasses(of: source.tensors) }
    return report
  }

  /// Does not depend on measurements: an interrupted run ends with the types that it has chosen, also where another machine
  /// load would lead to others.
  private func key(_ texts: FitTexts, _ matrix: ImportanceMatrix?) throws -> String {
    var parts = [
      settings.version, "\(target)", "\(texts.budget) \(searches) \(seed)", texts.probes.digest,
      texts.search?.digest ?? "", texts.final?.digest ?? "", try ModelFingerprint(of: source).hex,
      matrix?.digest ?? "none",
    ]
    if let feedback { parts += ["feedback", feedback.windows.digest] + feedback.tensors.sorted() }
    parts += (constraints.pins + constraints.floors).map(\.description) + ["\(constraints.pins.count)"]
    parts +=
      constraints.excluded.map(\.name).sorted() + [constraints.only.map { "\($0.map(\.name).sorted())" } ?? "all"]
    parts += ["\(constraints.leavesOutput)"]
    if let given {
      let encoder = JSONEncoder()
      encoder.outputFormatting = .sortedKeys
      parts.append(String(decoding: try encoder.encode(given.table), as: UTF8.self))
    }
    return DataDigest.of(parts.joined(separator: "\n"))
  }
}
