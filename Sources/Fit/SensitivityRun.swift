import Files
import Foundation
import GGUF
import Perplexity
import Quantize
import Tensors
import Transformer

/// Measures a model's sensitivities: the error of every tensor in every type, and coefficients from probes, as many as a
/// time budget allows. The table is saved after every round, and a later run continues from it.
package struct SensitivityRun {
  package let probes: Probes
  /// Types whose errors are measured.
  package let types: [GGMLType]
  package var errors = RelativeErrors()
  /// Seconds for all measurements; nil for no limit. The first round always runs.
  package var budget: Double?
  /// Seconds after which the remaining errors are measured on small samples; nil for no limit.
  package var errorSeconds: Double?
  /// Whether the number of bands follows from the measured time of a pass. The result then depends on the clock.
  package var followsClock = false
  /// Number of bands of layers; nil for as many as the budget allows, at most one per layer.
  package var bands: Int?
  /// A table whose expectations the probes are joined with; nil for the prior.
  package var evidence: SensitivityTable?
  package var importanceFingerprint: String?
  /// SHA-256 of the probes' windows.
  package var textFingerprint = ""
  /// The part of the tensors and of the rounds of probes to measure; nil for all. Needs a number of bands.
  package var part: RunPart?

  package init(probes: Probes, types: [GGMLType]) {
    self.probes = probes
    self.types = types
  }

  private var source: any ModelSource { probes.source }

  /// - Parameters:
  ///   - earlier: a table to continue, finished or not; ignored if its model, importance or text differ.
  ///   - progress: advances with every tensor's errors and every layer of the probes; each is half of the work.
  ///   - save: receives the table so far.
  /// - Throws: `ForwardError`, `ScoringError`, `QuantizeError`, and errors of reading the source.
  package func run(
    continuing earlier: SensitivityTable? = nil, progress: any RunObserver = NoObserver(),
    save: (SensitivityTable) throws -> Void = { _ in }
  ) throws -> SensitivityTable {
    let start = ContinuousClock.now
    func spent() -> Double { Double((ContinuousClock.now - start) / .seconds(1)) }
    var table = try emptyTable()
    if let earlier, earlier.matches(table) {
      if earlier.isComplete { return earlier }
      table = earlier
    }
    var measurement = ErrorMeasurement(source: source, importance: probes.importance, types: types)
    measurement.errors = errors
    let tensors = source.tensors.filter(\.isQuantizable)
    measurement.chosen = part.map { Set(tensors[$0.range(of: tensors.count)].map(\.name)) }
    measurement.isLate = { [errorSeconds] in errorSeconds.map { spent() > $0 } ?? false }
    try measurement.complete(
      &table, adding: { probes.probeType($0) }, progress: PartObserver(of: progress, from: 0, share: 0.5), save: save)
    if let evidence {
      let expected = Dictionary(
        evidence.entries.map { ($0.tensor, $0.expectation) }, uniquingKeysWith: { first, _ in first })
      for index in table.entries.indices {
        table.entries[index].expectation = expected[table.entries[index].tensor] ?? nil
      }
      table.evidence = evidence.evidence
    }
    table.expect(Prior(of: source), source.tensors)
    let layers = try Decoder(source).layerCount
    if table.bands == 0 {
      table.bands = try bandsWithin(budget.map { $0 - spent() }, layers: layers)
      try save(table)
    }
    let groups = ProbeGroup.all(of: source, layers: layers, bands: table.bands)
    let done = Set(table.probes.map(\.name))
    // An incomplete round is run again: probes of one round share memory, which affects the last bits of their results.
    let rounds = rounds(groups)
    let wanted = part.map { Array(rounds[$0.range(of: rounds.count)]) } ?? rounds
    let missing = wanted.filter { !$0.allSatisfy { done.contains($0.name) } }
    for (number, round) in missing.enumerated() {
      let before = spent()
      if number > 0, let budget, before * Double(number + 1) / Double(number) > budget { break }
      let share = 0.5 / Double(rounds.count)
      let values = try probes.estimates(
        of: round,
        progress: PartObserver(
          of: progress, from: 0.5 + share * Double(rounds.count - missing.count + number), share: share))
      let names = Set(round.map(\.name))
      table.probes.removeAll { names.contains($0.name) }
      for (group, drift) in zip(round, values) { table.probes.append(probe(group, drift, table)) }
      if part == nil { table.distribute() }
      try save(table)
    }
    guard part == nil else { return table }
    table.isComplete = true
    table.distribute()
    return table
  }

  /// The measurements of all parts as one table, from which ``run(continuing:progress:save:)`` makes that of the whole.
  package func joining(_ parts: [SensitivityTable]) throws -> SensitivityTable {
    var table = try emptyTable()
    table.entries = parts.flatMap(\.entries)
    table.bands = parts.first?.bands ?? 0
    let errors = Dictionary(table.entries.map { ($0.tensor, $0.errors) }) { first, _ in first }
    let types = Dictionary(source.tensors.map { ($0.name, probes.probeType($0).name) }) { first, _ in first }
    // A part has the errors of its own tensors alone.
    table.probes = parts.flatMap(\.probes).map { probe in
      var error = 0.0
      for tensor in probe.tensors { if let type = types[tensor] { error += errors[tensor]?[type] ?? 0 } }
      return SensitivityTable.Probe(
        name: probe.name, tensors: probe.tensors, type: probe.type, divergence: probe.divergence, error: error,
        standardError: probe.standardError)
    }
    return table
  }

  /// A table without measurements, which describes the inputs of this run.
  package func emptyTable() throws -> SensitivityTable {
    SensitivityTable(
      model: source.name, modelFingerprint: try ModelFingerprint(of: source).hex,
      importanceFingerprint: importanceFingerprint, textFingerprint: textFingerprint, types: types.map(\.name),
      probeTokens: probes.windows.windows.count * probes.windows.context, scoredPositions: probes.windows.rowCount,
      bands: bands ?? 0, isComplete: false, probes: [], entries: [])
  }

  /// Maximum number of bands whose probes fit the remaining seconds. Without a limit by the clock, computed from the nominal
  /// time of the reference pass, so that it is repeatable; from the measured time only if that is more than twice as long.
  private func bandsWithin(_ seconds: Double?, layers: Int) throws -> Int {
    guard let seconds else { return layers }
    let pass = try ForwardPass(source: source, options: probes.options)
    let windows = probes.windows
    let expected =
      try pass.plan(windows: windows.windows.count, length: windows.context).operations
      / FitPolicy.speed(isGiven: false)
    let start = ContinuousClock.now
    _ = try pass.run(windows: windows.windows, scored: windows.scored)
    let taken = Double((ContinuousClock.now - start) / .seconds(1))
    let once = followsClock || taken > 2 * expected ? taken : expected
    var bands = layers
    // Four fifths: the estimate does not include the scoring.
    while bands > 1,
      ProbeGroup.passes(ProbeGroup.all(of: source, layers: layers, bands: bands), layers: layers) * once
        > 0.8 * (seconds - once)
    {
      bands = (bands + 1) / 2
    }
    return bands
  }

  /// Rounds of at most 64 probes, so that an interruption loses little. Each has groups from all depths, so that a run that
  /// ends early has measured some of every depth.
  private func rounds(_ groups: [ProbeGroup]) -> [[ProbeGroup]] {
    let count = max(1, (groups.count + 63) / 64)
    let all = (0..<count).map { round in groups.enumerated().filter { $0.offset % count == round }.map(\.element) }
    return all.filter { !$0.isEmpty }
  }

  private func probe(_ group: ProbeGroup, _ drift: Estimate, _ table: SensitivityTable) -> SensitivityTable.Probe {
    let errors = Dictionary(uniqueKeysWithValues: table.entries.map { ($0.tensor, $0.errors) })
    let types = group.tensors.map { probes.probeType($0) }
    return SensitivityTable.Probe(
      name: group.name, tensors: group.tensors.map(\.name), type: types[0].name, divergence: drift.value,
      error: zip(group.tensors, types).reduce(0) { $0 + (errors[$1.0.name]?[$1.1.name] ?? 0) },
      standardError: drift.error)
  }
}

extension SensitivityTable {
  /// Whether two tables have the same inputs.
  package func matches(_ other: SensitivityTable) -> Bool {
    modelFingerprint == other.modelFingerprint && importanceFingerprint == other.importanceFingerprint
      && textFingerprint == other.textFingerprint && probeTokens == other.probeTokens
      && Set(types).isSuperset(of: other.types) && (other.bands == 0 || bands == 0 || bands == other.bands)
  }
}
