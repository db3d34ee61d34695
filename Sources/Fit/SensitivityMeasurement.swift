import Blocks
import Files
import GGUF
import Imatrix
import Perplexity
import Quantize
import Tensors

/// Measures the sensitivities of a model in every type that can be encoded.
public struct SensitivityMeasurement {
  private let run: FitRun
  private var passes: SensitivityRun

  /// - Parameters:
  ///   - windows: windows of the probes.
  ///   - budget: seconds; nil for no limit.
  ///   - limitsErrors: whether errors are measured on less where they take longer than their share of the budget, and the
  ///     number of bands follows from the measured time. The result then depends on the clock.
  ///   - bands: number of bands of layers; nil for as many as the budget allows.
  public init(
    of source: any ModelSource, matrix: ImportanceMatrix?, windows: ScoringWindows, budget: Double?,
    limitsErrors: Bool = true, bands: Int? = nil, joinedWith evidence: SensitivityTable? = nil, in run: FitRun,
    policy: FitPolicy = FitPolicy()
  ) {
    self.run = run
    let types = SensitivityTable.types(of: source, hasImportance: matrix != nil)
    passes = SensitivityRun(
      probes: Probes(source: source, importance: matrix?.lookup, windows: windows, options: run.forward), types: types)
    passes.budget = budget
    if let budget {
      passes.errors.weightLimit = RelativeErrors.weightLimit(
        of: source.tensors.count(where: \.isQuantizable), types: types.count, seconds: budget * policy.errorShare)
      if limitsErrors { passes.errorSeconds = budget * policy.errorShare }
      passes.followsClock = limitsErrors
    }
    passes.bands = bands
    passes.evidence = evidence
    passes.importanceFingerprint = matrix?.digest
    passes.textFingerprint = windows.digest
  }

  /// Measures a part of the tensors and probes. The number of bands must be given.
  public mutating func table(
    of part: RunPart, earlier: SensitivityTable?, keep: (SensitivityTable) throws -> Void
  ) throws -> SensitivityTable {
    passes.part = part
    defer { passes.part = nil }
    return try table(earlier: { _ in earlier }, keep: keep)
  }

  /// The table of the whole, from those of all parts.
  public func joined(_ parts: [SensitivityTable]) throws -> SensitivityTable {
    let measured = try passes.joining(parts)
    return try table(earlier: { _ in measured })
  }

  /// Whether an earlier run has left probes.
  ///
  /// - Parameter earlier: as that of ``table(earlier:keep:)``.
  func hasProbes(of earlier: (SensitivityTable) -> SensitivityTable?) throws -> Bool {
    let empty = try passes.emptyTable()
    return earlier(empty).map { $0.matches(empty) && !$0.probes.isEmpty } ?? false
  }

  /// - Parameters:
  ///   - earlier: returns the stored table of an earlier run, given an empty table with the inputs.
  ///   - keep: receives the table so far, and the complete one.
  public func table(
    earlier: (SensitivityTable) -> SensitivityTable? = { _ in nil }, keep: (SensitivityTable) throws -> Void = { _ in }
  ) throws -> SensitivityTable {
    let empty = try passes.emptyTable()
    let earlier = earlier(empty).flatMap { $0.matches(empty) ? $0 : nil }
    let source = passes.probes.source
    let stage = FitStage.sensitivities(
      model: source.name, measurements: 2 * source.tensors.count { $0.isQuantizable })
    run.observer.begin(stage)
    let table = try passes.run(continuing: earlier, progress: run.observer, save: keep)
    if table != earlier { try keep(table) }
    run.observer.end(stage)
    return table
  }
}

/// Snapshots of a long run's table beside its output. Only the last one is kept.
public struct KeptTables {
  private let kept: KeptRun
  private var prefix: String { kept.path + "-table-" }
  private static let key = "table "

  public init(_ kept: KeptRun) { self.kept = kept }

  private func file(_ number: Int) -> String { "\(prefix)\(number).json" }

  /// The last complete table on disk.
  public func last() -> SensitivityTable? {
    let recorded = kept.journal.inherited.compactMap { key, digest in
      key.hasPrefix(Self.key) ? Int(key.dropFirst(Self.key.count)).map { (number: $0, digest: digest) } : nil
    }
    for (number, digest) in recorded.sorted(by: { $1.number < $0.number }) {
      if (try? DataDigest.ofFile(file(number))) == digest, let table = try? SensitivityTable(path: file(number)) {
        return table
      }
    }
    return nil
  }

  public func keep(_ table: SensitivityTable) throws {
    let number = kept.journal.entries.keys.count { $0.hasPrefix(Self.key) }
    try table.write(to: file(number), overwrite: true)
    try kept.journal.record("\(Self.key)\(number)", sha256: try DataDigest.ofFile(file(number)))
    PrefixedFiles(prefix).remove(except: [file(number)])
  }
}

extension RelativeErrors {
  /// The smallest sample of a tensor: a percent or two is enough beside the spread of worths.
  static let minimumWeights = 1 << 16

  /// Weights of each tensor that errors can be measured from in some seconds of nominal speed.
  static func weightLimit(of tensors: Int, types: Int, seconds: Double) -> Int {
    let each = FitPolicy.nominalEncoding(types) * Double(max(1, tensors))
    return max(minimumWeights, min(RelativeErrors().weightLimit, Int(min(1e9, seconds / max(each, 1e-12)))))
  }
}
