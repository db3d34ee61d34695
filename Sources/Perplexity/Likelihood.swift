import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// How well a model predicts a text: the loss at every scored position.
public struct Likelihood: Sendable, Equatable {
  /// -ln of the probability of each next token, in nats, window after window.
  public let losses: [Double]

  /// Losses that were measured before, in nats.
  public init(losses: [Double]) { self.losses = losses }

  /// Scores a model that has run over `windows`.
  ///
  /// - Parameters:
  ///   - name: what messages call the model.
  ///   - memory: bytes for tiles of logits.
  /// - Throws: ``ScoringError``, and what `source` and `progress` throw.
  public static func measuring(
    _ source: any LogitSource, named name: String = "model", windows: ScoringWindows,
    memory: Int, progress: any RunObserver = NoObserver()
  ) throws -> Likelihood {
    let pass = try ScoringPass.run(models: [(name, source)], windows: windows, memory: memory, progress: progress)
    return Likelihood(losses: pass.losses(model: 0))
  }

  /// Over all positions, or over some rows of them.
  public func statistics(rows: [Range<Int>]? = nil) -> LikelihoodStatistics {
    LikelihoodStatistics(losses: rows.map { $0.flatMap { losses[$0] } } ?? losses)
  }
}

/// Perplexity with its standard error.
public struct LikelihoodStatistics: Sendable, Equatable, Codable {
  /// Scored positions.
  public let positions: Int
  /// Nats a token.
  public let loss: Estimate
  /// e^loss; its error is e^loss times the error of the loss.
  public let perplexity: Estimate

  /// The figures of losses in nats.
  public init(losses: [Double]) {
    positions = losses.count
    loss = Estimate(meanOf: losses)
    perplexity = Estimate(value: exp(loss.value), error: exp(loss.value) * loss.error)
  }
}
