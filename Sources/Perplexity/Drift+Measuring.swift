import Tensors

extension Drift {
  /// Compares several models with one reference in one pass over the vocabulary.
  ///
  /// All have run over `windows`. `memory` is bytes for tiles of logits.
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

  /// Compares several models with a stored reference. All have run over `reference.windows`, or over some of them.
  ///
  /// - Parameter chosen: the windows that they have run over, by their place in `reference.windows`; nil for all.
  /// - Throws: ``ScoringError``, ``ReferenceError``, and what the sources and `progress` throw.
  public static func measure(
    base reference: CompactReference, candidates: [(name: String, source: any LogitSource)],
    windows chosen: [Int]? = nil, memory: Int, progress: any RunObserver = NoObserver()
  ) throws -> [Drift] {
    try CompactPass.run(
      reference, windows: chosen, candidates: candidates, memory: memory, progress: progress)
  }

  /// Compares several models with a file of llama-perplexity's. All have run over `file.windows`, or over some of them.
  ///
  /// Log-probabilities are taken as they are stored: not normalised again, and those below -16 left out, as
  /// llama-perplexity does.
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
