import Tensors

extension Drift {
  /// Compares models with a reference in one pass over the vocabulary.
  ///
  /// All models must have run over `windows`.
  ///
  /// - Parameter memory: bytes for tiles of logits.
  /// - Throws: ``ScoringError``, and what the sources and `progress` throw.
  public static func measure(
    base: (name: String, source: any LogitSource), candidates: [(name: String, source: any LogitSource)],
    windows: ScoringWindows, memory: Int, progress: any RunObserver = NoObserver()
  ) throws -> [Drift] {
    let pass = try ScoringPass.run(
      models: [base] + candidates, windows: windows, memory: memory, progress: progress)
    let baseLosses = pass.losses(model: 0)
    return candidates.indices.map { index in
      Drift(
        divergences: pass.divergences(model: index + 1), baseLosses: baseLosses, losses: pass.losses(model: index + 1),
        sameTops: pass.sameTops(model: index + 1))
    }
  }

  /// Compares models with a stored reference. All models must have run over the chosen windows.
  ///
  /// - Parameters:
  ///   - chosen: indices of windows in `reference.windows`; nil for all.
  ///   - memory: bytes for rows of the reference and tiles of logits.
  /// - Throws: ``ScoringError``, ``ReferenceError``, and what the sources and `progress` throw.
  public static func measure(
    base reference: CompactReference, candidates: [(name: String, source: any LogitSource)],
    windows chosen: [Int]? = nil, memory: Int, progress: any RunObserver = NoObserver()
  ) throws -> [Drift] {
    try CompactPass.run(
      reference, windows: chosen, candidates: candidates, memory: memory, progress: progress)
  }

  /// Compares models with a file of llama-perplexity. All models must have run over the chosen windows.
  ///
  /// As in llama-perplexity, stored log-probabilities are not normalised again, and those below -16 are left out.
  ///
  /// - Parameters:
  ///   - chosen: indices of windows in `file.windows`; nil for all.
  ///   - memory: bytes for tiles of logits.
  /// - Throws: ``ScoringError``, ``ReferenceError``, and what the sources and `progress` throw.
  public static func measure(
    base file: LogitsFile, candidates: [(name: String, source: any LogitSource)], windows chosen: [Int]? = nil,
    memory: Int, progress: any RunObserver = NoObserver()
  ) throws -> [Drift] {
    let windows = chosen.map(file.windows.selecting) ?? file.windows
    let base: any LogitSource =
      chosen.map { SelectedRows(of: file, windows: $0, perWindow: windows.scored.count) } ?? file
    let pass = try ScoringPass.run(
      models: [(file.path, base)] + candidates, windows: windows, memory: memory, progress: progress)
    let baseLosses = try (chosen ?? Array(file.windows.windows.indices)).flatMap { try file.targetLosses(window: $0) }
    return candidates.indices.map { index in
      Drift(
        divergences: pass.storedDivergences(model: index + 1), baseLosses: baseLosses,
        losses: pass.losses(model: index + 1), sameTops: pass.sameTops(model: index + 1))
    }
  }
}
