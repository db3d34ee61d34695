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
  /// System uptime when the job was made: a given budget counts from there.
  private let made = ProcessInfo.processInfo.systemUptime

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

  private var observer: any RunObserver { settings.observer }

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

  private func goal(_ matrix: ImportanceMatrix?) throws -> FitTarget {
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
    var input = importanceInput
    input.seconds = budget.map { $0 * policy.importanceShare }
    return try input.matrix(of: source, in: settings, workspace: workspace)
  }

  /// Runs all stages in order.
  public func run(_ matrix: ImportanceMatrix?) throws -> FitReport {
    guard runsModel, let text else { return try estimate(matrix) }
    let measured = try sensitivities(matrix, on: text)
    if let report = try keptReport(measured) { return report }
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

  static func now() -> Double { ProcessInfo.processInfo.systemUptime }

  /// Sensitivities: given, stored by an earlier run, or measured now.
  ///
  /// - Parameter text: the text of this stage and of the next ones.
  public func sensitivities(_ matrix: ImportanceMatrix?, on text: CalibrationText) throws -> Measured {
    let start = budget == nil ? Self.now() : made
    let goal = try goal(matrix)
    try goal.check()
    let texts = try FitTexts(text, for: source, options: settings.forward, budget: budget, policy: policy)
    let least = try leastTimes(texts)
    let available = budget == nil ? texts.budget : max(0, texts.budget - (Self.now() - start))
    let measurement = SensitivityMeasurement(
      of: source, matrix: matrix, windows: texts.probes,
      budget: (available - least.reserved(of: available, policy)) * policy.sensitivityShare,
      limitsErrors: budget != nil, in: settings, policy: policy)
    let isProbed =
      try least.hasProbes(in: available, policy)
      || measurement.hasProbes(of: { workspace?.sensitivities(like: $0, NoObserver()) })
    let table =
      try givenTable(matrix)
      ?? (isProbed
        ? measurement.table(
          earlier: { workspace?.sensitivities(like: $0, observer) }, keep: { try workspace?.keep($0) })
        : priors.table(of: source, matrix: matrix, in: settings))
    var measured = Measured(
      matrix: matrix, table: table, texts: texts, goal: goal,
      trials: try MixTrials(
        source: source, importance: matrix?.lookup, options: settings.forward, feedback: feedback?.factors),
      start: start, key: try key(table, texts), least: least)
    if given == nil, !isProbed { measured.omitted = [OmittedStage(stage: .probes, seconds: least.probes)] }
    return measured
  }

  /// The report of an interrupted run of the same job.
  private func keptReport(_ measured: Measured) throws -> FitReport? {
    guard let report = workspace?.report(key: measured.key) else { return nil }
    observer.note(FitNote.typesReused)
    return report
  }

  /// The exact allocation for the measured costs.
  ///
  /// - Throws: `QuantizeError` where some tensor has no importance for the types that it would need.
  public func allocate(_ measured: Measured) throws -> [GGMLType] { try allocation(measured.table, measured.goal) }

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
  public func search(_ measured: Measured, from allocated: [GGMLType]) throws -> MixSearch.Result? {
    let available = measured.remaining
    let remaining = available - measured.least.reserved(of: available, policy)
    guard searches, measured.omitted.isEmpty, measured.least.hasSearch(in: available, policy),
      let windows = measured.texts.search
    else { return nil }
    let space = SearchSpace(
      tensors: source.tensors, options: allocator(measured.table, measured.goal).options,
      groups: measured.table.groups(of: source)
    ) {
      try allocator(measured.table, measured.goal, scale: $0).types(for: target)
    } spare: {
      try target - measured.goal.size.bytes(of: $0)
    }
    var search = MixSearch(
      trials: measured.trials, windows: windows, stepWindows: measured.texts.probes, space: space)
    search.policy = searchPolicy
    search.budget = remaining * policy.searchShare
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
  /// feedback all of them are estimates: ``compare(_:_:)`` measures the file.
  public func confirm(
    _ measured: Measured, _ allocated: [GGMLType], _ found: MixSearch.Result?
  ) throws -> FitReport {
    let texts = measured.texts
    var types = found?.types ?? allocated
    var choice: FitReport.Choice = found == nil ? .allocation : .search
    var comparison: FitReport.Comparison?
    let candidates =
      [StockComparison.Candidate(choice: .allocation, types: allocated)]
      + (found.map { [StockComparison.Candidate(choice: .search, types: $0.types)] } ?? [])
      + (try expected(measured))
    if let windows = try texts.final.flatMap({
      try affordable($0, measured, mixes: candidates.count + policy.stockMixes)
    }) {
      let stage = FitStage.comparison(model: source.name)
      observer.begin(stage)
      let verdict = try StockComparison(
        source: source, target: measured.goal, hasImportance: measured.matrix != nil, policy: policy
      ).verdict(
        of: candidates, trials: measured.trials, windows: windows, progress: observer)
      observer.end(stage)
      (types, choice, comparison) = (verdict.types, verdict.choice, verdict.comparison)
    }
    let needed = searches ? FitTexts.neededWindows : FitTexts.neededWindows - 1
    var report = report(
      types, evidence: choice == .search ? .searched : measured.table.grade, choice: choice,
      constraints: measured.goal.constraints)
    report.search = found.map { FitReport.Search(trials: $0.trials, rounds: $0.rounds, isCutShort: $0.isCutShort) }
    report.comparison = comparison
    report.isEstimated = feedback != nil
    report.omitted = measured.omitted
    if searches, found == nil, texts.search != nil {
      report.omitted.append(OmittedStage(stage: .search, seconds: measured.least.search))
    }
    if comparison == nil, texts.final != nil {
      report.omitted.append(OmittedStage(stage: .comparison, seconds: measured.least.comparison))
    }
    if texts.windowCount < needed {
      report.shortage = FitReport.Shortage(windows: texts.windowCount, context: texts.context, needed: needed)
    }
    try workspace?.keep(report, key: measured.key)
    return report
  }

  /// Compares a file that was written with error feedback with the nearest stock mixes without, on the text that no earlier
  /// stage has seen: what the file is worth beside those of llama-quantize. nil if no text is left for it.
  public func compare(_ file: any ModelSource, _ matrix: ImportanceMatrix?) throws -> FitReport.Written? {
    guard runsModel, let text else { return nil }
    let texts = try FitTexts(text, for: source, options: settings.forward, budget: budget, policy: policy)
    guard let windows = texts.final else { return nil }
    let stage = FitStage.comparison(model: source.name)
    observer.begin(stage)
    let trials = try MixTrials(source: source, importance: matrix?.lookup, options: settings.forward)
    let written = try StockComparison(
      source: source, target: try goal(matrix), hasImportance: matrix != nil, policy: policy
    ).written(file, trials: trials, windows: windows, progress: observer)
    observer.end(stage)
    return written
  }

  /// The allocation without probes: more measuring is never worse than none. Empty where the table has no expectations.
  private func expected(_ measured: Measured) throws -> [StockComparison.Candidate] {
    var table = measured.table
    guard !table.probes.isEmpty, table.entries.allSatisfy({ $0.expectation != nil }) else { return [] }
    table.probes = []
    table.distribute()
    return [StockComparison.Candidate(choice: .expected, types: try allocation(table, measured.goal))]
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

  private func key(_ table: SensitivityTable, _ texts: FitTexts) throws -> String {
    var parts = [
      settings.version, "\(target)", "\(texts.budget) \(searches) \(seed)", texts.search?.digest ?? "",
      texts.final?.digest ?? "",
    ]
    if let feedback { parts += ["feedback", feedback.windows.digest] + feedback.tensors.sorted() }
    parts += (constraints.pins + constraints.floors).map(\.description) + ["\(constraints.pins.count)"]
    parts +=
      constraints.excluded.map(\.name).sorted() + [constraints.only.map { "\($0.map(\.name).sorted())" } ?? "all"]
    parts += ["\(constraints.leavesOutput)"]
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return DataDigest.of(
      (parts + [String(decoding: try encoder.encode(table), as: UTF8.self)]).joined(separator: "\n"))
  }
}
