import Files
import Foundation
import GGUF
import Imatrix
import Perplexity
import Quantize
import Tensors

/// Chooses the type of every tensor so that a file of a given size drifts least from its model.
///
///     let job = FitJob(of: model, target: 4_200_000_000, text: text, run: FitRun(version: "1"))
///     let matrix = try job.importance()
///     let report = try job.run(matrix)
///     let plan = try job.header(matrix).plan(report.types(for: model))
///
/// Each stage returns a value that the next one takes. A workspace stores the measurements, so that an interrupted job
/// continues where it stopped.
public struct FitJob {
  public let source: any ModelSource
  /// Maximum size of the file in bytes.
  public let target: Int
  /// The text of all measurements. Importance may come from elsewhere.
  public let text: CalibrationText
  public var importanceInput: ImportanceInput
  public var constraints = TypeConstraints()
  /// Metadata keys that the user sets.
  public var overrides: [(key: String, value: MetadataValue)] = []
  /// The text of error feedback, which the header names; nil for none.
  public var feedback: FeedbackProvenance?
  /// Sensitivities from an earlier measurement, with the name of their file.
  public var given: (table: SensitivityTable, file: String)?
  /// Seconds for measuring and searching.
  public var budget = 7200.0
  /// Whether to search for a mix that is better than the allocation.
  public var searches = true
  /// Seed of the search's random numbers.
  public var seed: UInt64 = 1
  public var policy = FitPolicy()
  public var searchPolicy = SearchPolicy()
  public var workspace: Workspace?
  public let settings: FitRun

  public init(of source: any ModelSource, target: Int, text: CalibrationText, run: FitRun) {
    self.source = source
    self.target = target
    self.text = text
    settings = run
    importanceInput = ImportanceInput(.measured(text))
  }

  private var observer: any RunObserver { settings.observer }

  /// The header of the file. Without a matrix, its provenance is a placeholder of the same length.
  public func header(_ matrix: ImportanceMatrix?) throws -> OutputHeader {
    var header = OutputHeader(
      source: source, importance: importanceInput.provenance(matrix), fingerprint: try ModelFingerprint(of: source).hex,
      overrides: overrides)
    header.feedback = feedback
    return header
  }

  /// Refuses a target that no file can have, before anything is measured.
  ///
  /// - Throws: `QuantizeError`
  public func check() throws { try goal(nil).check() }

  private func goal(_ matrix: ImportanceMatrix?) throws -> FitTarget {
    FitTarget(
      target, header: try header(matrix), hasImportance: !importanceInput.isNothing,
      constraints: try importanceInput.constraints(constraints, matrix, of: source))
  }

  // MARK: stages

  /// The importance matrix; nil if none is used.
  public func importance() throws -> ImportanceMatrix? {
    try importanceInput.matrix(of: source, in: settings, workspace: workspace)
  }

  /// Runs all stages in order.
  public func run(_ matrix: ImportanceMatrix?) throws -> FitReport {
    let measured = try sensitivities(matrix)
    if let report = try keptReport(measured) { return report }
    let allocated = try allocate(measured)
    return try confirm(measured, allocated, try search(measured, from: allocated))
  }

  /// Measured sensitivities, with the input of the next stages.
  public struct Measured {
    public let matrix: ImportanceMatrix?
    public let table: SensitivityTable
    public let texts: FitTexts
    public let goal: FitTarget
    /// Runs mixes. The search and the last comparison share the tensors that it has encoded.
    let trials: MixTrials
    /// System uptime at the start of the budget.
    let start: Double
    /// A digest of everything that the choice of types depends on.
    let key: String
  }

  private func now() -> Double { ProcessInfo.processInfo.systemUptime }

  /// Sensitivities: given, stored by an earlier run, or measured now.
  public func sensitivities(_ matrix: ImportanceMatrix?) throws -> Measured {
    let start = now()
    let goal = try goal(matrix)
    try goal.check()
    try given?.table.check(against: source, file: given?.file ?? "")
    if let given, given.table.importanceFingerprint != matrix?.digest { observer.note(FitNote.otherImportance) }
    let texts = try FitTexts(text, for: source, options: settings.forward, budget: budget, policy: policy)
    let table =
      try given?.table
      ?? SensitivityMeasurement(
        of: source, matrix: matrix, windows: texts.probes, budget: budget * policy.sensitivityShare, in: settings
      ).table(
        earlier: { workspace?.sensitivities(like: $0, observer) }, keep: { try workspace?.keep($0) })
    return Measured(
      matrix: matrix, table: table, texts: texts, goal: goal,
      trials: try MixTrials(source: source, importance: matrix?.lookup, options: settings.forward), start: start,
      key: try key(table, texts))
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
  public func allocate(_ measured: Measured) throws -> [GGMLType] {
    let allocator = allocator(measured)
    if let types = try allocator.types(for: target) { return types }
    throw QuantizeError.targetTooSmall(
      target: target, smallest: try measured.goal.size.bytes(of: allocator.smallest()),
      largest: try measured.goal.largest())
  }

  private func allocator(_ measured: Measured, scale: [Double]? = nil) -> TargetAllocator {
    let size = measured.goal.size
    return TargetAllocator(
      measured.table.options(measured.goal.menus, alignment: size.alignment, scale: scale), size: size, upTo: target)
  }

  /// Searches for a mix that is better than the allocation; nil if the search is off, or time or text is too short.
  public func search(_ measured: Measured, from allocated: [GGMLType]) throws -> MixSearch.Result? {
    let remaining = budget - (now() - measured.start)
    guard searches, remaining > 0, let windows = measured.texts.search else { return nil }
    let space = SearchSpace(
      tensors: source.tensors, options: allocator(measured).options, groups: measured.table.groups(of: source)
    ) {
      try allocator(measured, scale: $0).types(for: target)
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

  /// Compares the fitted mixes with stock mixes on text that no earlier stage has seen, and takes the best.
  public func confirm(
    _ measured: Measured, _ allocated: [GGMLType], _ found: MixSearch.Result?
  ) throws -> FitReport {
    let texts = measured.texts
    var types = found?.types ?? allocated
    var choice: FitReport.Choice = found == nil ? .allocation : .search
    var comparison: FitReport.Comparison?
    if let windows = texts.final {
      let stage = FitStage.comparison(model: source.name)
      observer.begin(stage)
      let verdict = try StockComparison(
        source: source, target: measured.goal, hasImportance: measured.matrix != nil, policy: policy
      ).verdict(
        allocated: allocated, searched: found?.types, trials: measured.trials, windows: windows, progress: observer)
      observer.end(stage)
      (types, choice, comparison) = (verdict.types, verdict.choice, verdict.comparison)
    }
    let needed = searches ? FitTexts.neededWindows : FitTexts.neededWindows - 1
    let report = FitReport(
      types: Dictionary(uniqueKeysWithValues: zip(source.tensors, types).map { ($0.name, $1.name) }), choice: choice,
      search: found.map {
        FitReport.Search(trials: $0.trials, rounds: $0.rounds, isCutShort: $0.isCutShort)
      }, comparison: comparison,
      shortage: texts.windowCount >= needed
        ? nil : FitReport.Shortage(windows: texts.windowCount, context: texts.context, needed: needed))
    try workspace?.keep(report, key: measured.key)
    return report
  }

  private func key(_ table: SensitivityTable, _ texts: FitTexts) throws -> String {
    var parts = [
      settings.version, "\(target)", "\(budget) \(searches) \(seed)", texts.search?.digest ?? "",
      texts.final?.digest ?? "",
    ]
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
