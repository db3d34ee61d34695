extension Drift {
  /// Compares several models with one reference in one pass over the vocabulary.
  ///
  /// All have run over `windows`. `memory` is bytes for tiles of logits.
  /// - Throws: ``ScoringError``, and what the sources and `progress` throw.
  public static func measure(
    base: (name: String, source: any LogitSource), candidates: [(name: String, source: any LogitSource)],
    windows: ScoringWindows, memory: Int = defaultScoringMemory, progress: (Double) throws -> Void = { _ in }
  ) throws -> [Drift] {
    let pass = try ScoringPass(
      models: [base] + candidates, windows: windows, memory: memory, progress: progress)
    let baseLosses = pass.losses(model: 0)
    return candidates.indices.map { index in
      Drift(
        divergences: pass.divergences(model: index + 1), baseLosses: baseLosses, losses: pass.losses(model: index + 1),
        sameTops: pass.sameTops(model: index + 1))
    }
  }

  /// Compares several models with a stored reference. All have run over `reference.windows`.
  ///
  /// - Throws: ``ScoringError``, ``ReferenceError``, and what the sources and `progress` throw.
  public static func measure(
    base reference: CompactReference, candidates: [(name: String, source: any LogitSource)],
    memory: Int = defaultScoringMemory, progress: (Double) throws -> Void = { _ in }
  ) throws -> [Drift] {
    try CompactPass(reference, candidates: candidates, memory: memory, progress: progress).drifts
  }

  /// Compares several models with a file of llama-perplexity's. All have run over `file.windows`.
  ///
  /// Log-probabilities are taken as they are stored: not normalised again, and those below -16 left out, as
  /// llama-perplexity does.
  public static func measure(
    base file: LogitsFile, candidates: [(name: String, source: any LogitSource)],
    memory: Int = defaultScoringMemory, progress: (Double) throws -> Void = { _ in }
  ) throws -> [Drift] {
    let pass = try ScoringPass(
      models: [(file.path, file)] + candidates, windows: file.windows, memory: memory, progress: progress)
    let baseLosses = try file.targetLosses()
    return candidates.indices.map { index in
      Drift(
        divergences: pass.storedDivergences(model: index + 1), baseLosses: baseLosses,
        losses: pass.losses(model: index + 1), sameTops: pass.sameTops(model: index + 1))
    }
  }
}
