/// How far a model's predictions are from its reference's: what is known of every scored position.
public struct Drift: Sendable, Equatable {
  /// KL(reference || model), in nats.
  public var divergences: [Double]
  /// -ln of the probability of the next token, in nats: the reference's and the model's.
  public var baseLosses: [Double]
  public var losses: [Double]
  /// Whether the likeliest token is the same.
  public var sameTops: [Bool]

  public init(divergences: [Double], baseLosses: [Double], losses: [Double], sameTops: [Bool]) {
    let count = divergences.count
    precondition(baseLosses.count == count && losses.count == count && sameTops.count == count)
    self.divergences = divergences
    self.baseLosses = baseLosses
    self.losses = losses
    self.sameTops = sameTops
  }

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

  public var positions: Int { divergences.count }

  /// Adds the positions of further windows.
  public mutating func append(_ other: Drift) {
    divergences += other.divergences
    baseLosses += other.baseLosses
    losses += other.losses
    sameTops += other.sameTops
  }

  /// Some rows of it: a text, or the texts of one kind.
  public func selecting(rows: [Range<Int>]) -> Drift {
    Drift(
      divergences: rows.flatMap { divergences[$0] }, baseLosses: rows.flatMap { baseLosses[$0] },
      losses: rows.flatMap { losses[$0] }, sameTops: rows.flatMap { sameTops[$0] })
  }
}
