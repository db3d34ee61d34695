import GGUF
import Imatrix
import Perplexity
import Quantize
import Tokenizers
import Transformer

/// The origin of the importance of a model's columns, and the tensors that it applies to.
public struct ImportanceInput {
  public enum Origin {
    case nothing
    /// A matrix from the named file.
    case given(ImportanceMatrix, file: String)
    /// A matrix to be measured on a text.
    case measured(CalibrationText)
  }

  public let origin: Origin
  /// Substrings of tensor names: only names with one of `included` (if not empty) and none of `excluded` are used.
  public var included: [String] = []
  public var excluded: [String] = []
  /// Seconds that measuring may take, by ``FitPolicy/speed(isGiven:)``: of the text, as many windows as that allows. nil for
  /// the whole text.
  public var seconds: Double?

  public init(_ origin: Origin) { self.origin = origin }

  /// The matrix: given, stored in the workspace by an earlier run, or measured now.
  public func matrix(of source: any ModelSource, in run: FitRun, workspace: Workspace?) throws -> ImportanceMatrix? {
    switch origin {
    case .nothing: nil
    case .given: given
    case .measured(let text):
      try measured(text, of: source, in: run, workspace).selecting(included: included, excluded: excluded)
    }
  }

  /// The given matrix, without excluded tensors.
  private var given: ImportanceMatrix? {
    guard case .given(let matrix, _) = origin else { return nil }
    return matrix.selecting(included: included, excluded: excluded)
  }

  private func measured(
    _ text: CalibrationText, of source: any ModelSource, in run: FitRun, _ workspace: Workspace?
  ) throws -> ImportanceMatrix {
    let context = FitPolicy().context
    let limit = try windowLimit(for: source, in: run)
    let windows = try text.windows(by: try Tokenizer(metadata: source.metadata), context: context, limit: limit)
    let measurement = ImportanceMeasurement(of: source, windows: windows.windows, datasets: text.names)
    let matrix =
      try workspace?.importance(measurement, windows: windows.digest, in: run)
      ?? measurement.matrix(in: run, beside: nil, restart: false)
    let missing = matrix.tensorsWithoutImportance(in: source).filter {
      $0.role != .tokenEmbedding && $0.role != .output
    }
    if !missing.isEmpty {
      run.observer.note(FitNote.importanceMissing(model: source.name, tensors: missing.map(\.name)))
    }
    return matrix
  }

  /// Windows that ``seconds`` allow; nil for all.
  func windowLimit(for source: any ModelSource, in run: FitRun) throws -> Int? {
    try seconds.map { seconds in
      let pass = try ForwardPass(source: source, options: run.forward)
      let each = try pass.plan(windows: 1, length: FitPolicy().context).operations / FitPolicy.speed(isGiven: true)
      return max(Self.fewestWindows, Int(min(1e9, seconds / each)))
    }
  }

  /// Fewer windows leave columns that no token has used.
  private static let fewestWindows = 8

  /// The provenance of the matrix for a file's header. Without a matrix, a placeholder of the same length.
  public func provenance(_ matrix: ImportanceMatrix?) -> ImportanceProvenance? {
    switch origin {
    case .nothing: return nil
    case .measured(let text) where matrix == nil: return ImportanceProvenance(computedFrom: text.names)
    case .given(_, let file): return provenance(matrix ?? given, file)
    case .measured: return provenance(matrix, "computed")
    }
  }

  private func provenance(_ matrix: ImportanceMatrix?, _ file: String) -> ImportanceProvenance? {
    matrix.map {
      ImportanceProvenance(
        file: file, dataset: $0.datasets.joined(separator: " "), entries: $0.entries.count, chunks: $0.chunkCount,
        fingerprint: $0.digest)
    }
  }

  /// Constraints that exclude types which need importance for the tensors without it, also before a matrix is measured.
  ///
  /// - Throws: `QuantizeError` for pins that need importance if there is none at all.
  public func constraints(
    _ constraints: TypeConstraints, _ matrix: ImportanceMatrix?, of source: any ModelSource
  ) throws -> TypeConstraints {
    var result = constraints
    if isNothing { try result.checkNoImportance(source) } else { try result.follow(matrix ?? given, of: source) }
    return result
  }

  /// Whether no importance is used.
  public var isNothing: Bool { if case .nothing = origin { true } else { false } }
}

extension ImportanceMatrix {
  /// The importance of a tensor, as a function for quantizers.
  public var lookup: Importance {
    { tensor in importance(for: tensor) }
  }

  /// The matrix without tensors whose names contain one of `excluded`; if `included` is not empty, with only those that
  /// contain one of it.
  func selecting(included: [String], excluded: [String]) -> ImportanceMatrix {
    var result = self
    result.entries = entries.filter { name, _ in
      !excluded.contains { name.contains($0) } && (included.isEmpty || included.contains { name.contains($0) })
    }
    return result
  }

  /// The matrix under the tensor names of a pruned model.
  public func following(_ model: PrunedModel) -> ImportanceMatrix {
    var result = self
    result.entries = [:]
    for tensor in model.tensors { result.entries[tensor.name] = entries[model.original(of: tensor).name] }
    return result
  }
}
