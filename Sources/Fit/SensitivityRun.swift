import Blocks
import Foundation
import GGUF
import Perplexity
import Quantize
import Tensors
import Transformer

/// Measures a model's sensitivities: the error of every tensor in every type, and coefficients from probes, as many as a
/// time budget allows. The table is saved after every round, and a later run continues from it.
public struct SensitivityRun {
  public let probes: Probes
  /// Types whose errors are measured.
  public let types: [GGMLType]
  public var errors = RelativeErrors()
  /// Seconds for all measurements; nil for no limit. The first round always runs.
  public var budget: Double?
  /// Number of bands of layers; nil for as many as the budget allows, at most one per layer.
  public var bands: Int?
  public var importanceFingerprint: String?
  /// SHA-256 of the probes' windows.
  public var textFingerprint = ""

  public init(probes: Probes, types: [GGMLType]) {
    self.probes = probes
    self.types = types
  }

  private var source: any ModelSource { probes.source }

  /// - Parameters:
  ///   - earlier: a table to continue, finished or not; ignored if its model, importance or text differ.
  ///   - progress: hears of every measurement of errors and every layer of probes, half of the work each.
  ///   - save: receives the table so far.
  /// - Throws: `ForwardError`, `ScoringError`, `QuantizeError`, and errors of reading the source.
  public func run(
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
    let tensors = source.tensors.filter(\.isQuantizable)
    var known = Set(table.entries.map(\.tensor))
    var saved = ContinuousClock.now
    for (index, tensor) in tensors.enumerated() where !known.contains(tensor.name) {
      do {
        try progress.advance(
          RunProgress(
            fraction: 0.5 * Double(index) / Double(tensors.count), step: index, stepCount: tensors.count,
            detail: "errors of \(tensor.name)"))
      } catch {
        try save(table)
        throw error
      }
      let all = Array(Set(types + [probes.probeType(tensor)])).sorted { $0.rawValue < $1.rawValue }
      let measured = try errors.measure(tensor, of: source, types: all, importance: probes.importance?(tensor))
      table.entries.append(
        SensitivityTable.Entry(
          tensor: tensor.name, dimensions: tensor.shape.dimensions,
          errors: Dictionary(uniqueKeysWithValues: measured.map { ($0.key.name, $0.value) }), probe: nil,
          coefficient: 0))
      known.insert(tensor.name)
      if ContinuousClock.now - saved > .seconds(30) {
        try save(table)
        saved = .now
      }
    }
    let layers = try Decoder(source).layerCount
    if table.bands == 0 {
      table.bands = try bandsWithin(budget.map { $0 - spent() }, layers: layers)
      try save(table)
    }
    let groups = ProbeGroup.all(of: source, layers: layers, bands: table.bands)
    let done = Set(table.probes.map(\.name))
    // An incomplete round is run again: probes of one round share memory, which affects the last bits of their results.
    let rounds = rounds(groups)
    let missing = rounds.filter { !$0.allSatisfy { done.contains($0.name) } }
    for (number, round) in missing.enumerated() {
      let before = spent()
      if number > 0, let budget, before * Double(number + 1) / Double(number) > budget { break }
      let share = 0.5 / Double(rounds.count)
      let values = try probes.divergences(
        of: round,
        progress: PartObserver(
          of: progress, from: 0.5 + share * Double(rounds.count - missing.count + number), share: share))
      let names = Set(round.map(\.name))
      table.probes.removeAll { names.contains($0.name) }
      for (group, divergence) in zip(round, values) { table.probes.append(probe(group, divergence, table)) }
      table.distribute()
      try save(table)
    }
    table.isComplete = true
    table.distribute()
    return table
  }

  /// A table without measurements, which describes the inputs of this run.
  public func emptyTable() throws -> SensitivityTable {
    SensitivityTable(
      model: source.name, modelFingerprint: try ModelFingerprint(of: source).hex,
      importanceFingerprint: importanceFingerprint, textFingerprint: textFingerprint, types: types.map(\.name),
      probeTokens: probes.windows.windows.count * probes.windows.context, scoredPositions: probes.windows.rowCount,
      bands: bands ?? 0, isComplete: false, probes: [], entries: [])
  }

  /// Maximum number of bands whose probes fit the remaining seconds. Computed from the estimated time of the reference
  /// pass, so that it is repeatable; from the measured time only if that is more than twice as long.
  private func bandsWithin(_ seconds: Double?, layers: Int) throws -> Int {
    guard let seconds else { return layers }
    let pass = try ForwardPass(source: source, options: probes.options)
    let windows = probes.windows
    let expected =
      try pass.plan(windows: windows.windows.count, length: windows.context).operations / FitPolicy.nominalSpeed
    let start = ContinuousClock.now
    _ = try pass.run(windows: windows.windows, scored: windows.scored)
    let taken = Double((ContinuousClock.now - start) / .seconds(1))
    let once = taken > 2 * expected ? taken : expected
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

  private func probe(_ group: ProbeGroup, _ divergence: Double, _ table: SensitivityTable) -> SensitivityTable.Probe {
    let errors = Dictionary(uniqueKeysWithValues: table.entries.map { ($0.tensor, $0.errors) })
    let types = group.tensors.map { probes.probeType($0) }
    return SensitivityTable.Probe(
      name: group.name, tensors: group.tensors.map(\.name), type: types[0].name, divergence: divergence,
      error: zip(group.tensors, types).reduce(0) { $0 + (errors[$1.0.name]?[$1.1.name] ?? 0) })
  }
}

extension SensitivityTable {
  /// Whether two tables have the same inputs.
  public func matches(_ other: SensitivityTable) -> Bool {
    modelFingerprint == other.modelFingerprint && importanceFingerprint == other.importanceFingerprint
      && textFingerprint == other.textFingerprint && probeTokens == other.probeTokens
      && Set(types).isSuperset(of: other.types) && (other.bands == 0 || bands == 0 || bands == other.bands)
  }

  /// Gives every tensor its probe's coefficient; else that of the nearest layer in its class; else the mean of all.
  package mutating func distribute() {
    var own: [String: (probe: String, coefficient: Double)] = [:]
    for probe in probes {
      let coefficient = probe.error > 0 ? probe.divergence / probe.error : 0
      for tensor in probe.tensors { own[tensor] = (probe.name, coefficient) }
    }
    let mean = own.isEmpty ? 1 : own.values.reduce(0) { $0 + $1.coefficient } / Double(own.count)
    let names = entries.map { TensorName($0.tensor) }
    for index in entries.indices {
      if let known = own[entries[index].tensor] {
        entries[index].probe = known.probe
        entries[index].coefficient = known.coefficient
        continue
      }
      let tensor = names[index]
      let relatives = names.filter { own[$0.text] != nil && $0.layerClass == tensor.layerClass }
      let nearest = relatives.min {
        abs(($0.layer ?? 0) - (tensor.layer ?? 0)) < abs(($1.layer ?? 0) - (tensor.layer ?? 0))
      }
      entries[index].probe = nil
      entries[index].coefficient = nearest.flatMap { own[$0.text]?.coefficient } ?? mean
    }
  }
}
