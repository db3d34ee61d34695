import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A model's loss at every scored position of a text.
public struct Likelihood: Sendable, Equatable {
  /// -ln of the probability of each next token, in nats, window after window.
  public let losses: [Double]

  /// Losses in nats, measured before.
  public init(losses: [Double]) { self.losses = losses }

  /// Scores a model that has run over `windows`.
  ///
  /// - Parameters:
  ///   - name: the model's name in messages.
  ///   - memory: bytes for tiles of logits.
  /// - Throws: ``ScoringError``, and what `source` and `progress` throw.
  public static func measuring(
    _ source: any LogitSource, named name: String = "model", windows: ScoringWindows,
    memory: Int, progress: any RunObserver = NoObserver()
  ) throws -> Likelihood {
    let pass = try ScoringPass.run(models: [(name, source)], windows: windows, memory: memory, progress: progress)
    return Likelihood(losses: pass.losses(model: 0))
  }

  /// The statistics over all positions, or over some of them.
  public func statistics(rows: [Range<Int>]? = nil) -> LikelihoodStatistics {
    LikelihoodStatistics(losses: rows.map { $0.flatMap { losses[$0] } } ?? losses)
  }
}

/// Perplexity with its standard error.
public struct LikelihoodStatistics: Sendable, Equatable, Codable {
  /// The number of scored positions.
  public let positions: Int
  /// The mean loss, in nats per token.
  public let loss: Estimate
  /// e^loss, with the error e^loss times the error of the loss.
  public let perplexity: Estimate

  /// The figures of losses in nats.
  package init(losses: [Double]) {
    positions = losses.count
    loss = Estimate(meanOf: losses)
    perplexity = Estimate(value: exp(loss.value), error: exp(loss.value) * loss.error)
  }
}
