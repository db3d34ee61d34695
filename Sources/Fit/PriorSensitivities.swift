import Foundation
import GGUF
import Imatrix
import Quantize
import Tensors

/// The sensitivities of a model without a forward pass: errors from sampled rows of its weights, coefficients from
/// ``Prior``. Any model whose tensors can be read has them.
public struct PriorSensitivities {
  private let run: FitRun
  private let errors: ErrorMeasurement
  private let importanceFingerprint: String?
  private var source: any ModelSource { errors.source }

  public init(of source: any ModelSource, matrix: ImportanceMatrix?, in run: FitRun) {
    self.run = run
    var errors = ErrorMeasurement(
      source: source, importance: matrix?.lookup,
      types: SensitivityTable.types(of: source, hasImportance: matrix != nil))
    errors.errors.weightLimit = RelativeErrors.minimumWeights
    // At least 16 rows of each matrix are encoded: with more matrices, the sample would exceed its limit.
    errors.errors.matrixLimit = 4
    self.errors = errors
    importanceFingerprint = matrix?.digest
  }

  public func table() throws -> SensitivityTable {
    var table = SensitivityTable(
      model: source.name, modelFingerprint: try ModelFingerprint(of: source).hex,
      importanceFingerprint: importanceFingerprint, textFingerprint: "", types: errors.types.map(\.name),
      probeTokens: 0, scoredPositions: 0, bands: 0, isComplete: true, probes: [], entries: [])
    let stage = FitStage.sensitivities(model: source.name, measurements: source.tensors.count(where: \.isQuantizable))
    run.observer.begin(stage)
    // Worths refer to errors of GGUF's types, which a form such as MLX's lacks.
    let isFormed = source.outputForm != nil
    try errors.complete(
      &table, adding: { isFormed ? GGMLType.q2_K.fitting(columns: $0.shape.columns) : nil }, progress: run.observer)
    run.observer.end(stage)
    table.evidence = .prior
    table.expect(Prior(of: source), source.tensors)
    table.distribute()
    return table
  }
}

/// Sensitivities without a forward pass that the jobs of one model share: the errors do not depend on a file's size.
public final class PriorTables {
  /// By the digest of the importance.
  private var tables: [String?: SensitivityTable] = [:]

  /// Creates a store without tables.
  public init() {}

  func table(of source: any ModelSource, matrix: ImportanceMatrix?, in run: FitRun) throws -> SensitivityTable {
    if let table = tables[matrix?.digest] { return table }
    let table = try PriorSensitivities(of: source, matrix: matrix, in: run).table()
    tables[matrix?.digest] = table
    return table
  }
}

extension SensitivityTable {
  /// The types that a table of a model has errors of.
  static func types(of source: any ModelSource, hasImportance: Bool) -> [GGMLType] {
    source.outputForm?.menu
      ?? GGMLType.allCases.filter { $0.canEncode && $0.isQuantized && (hasImportance || !$0.needsImportance) }
  }

  /// Sets the expectation of entries without one, from the prior.
  mutating func expect(_ prior: Prior, _ tensors: [TensorInfo]) {
    let tensors = Dictionary(tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    for index in entries.indices where entries[index].expectation == nil {
      guard let tensor = tensors[entries[index].tensor] else { continue }
      let worth = prior.worth(of: tensor)
      entries[index].expectation = Expectation(
        log: worth.log - log(LowBitError.estimate(entries[index].errors)), spread: worth.spread)
    }
  }
}
