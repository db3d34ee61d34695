#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The figures that llama-perplexity's `--kl-divergence` prints, with the same definitions.
public struct DriftStatistics: Sendable, Equatable, Codable {
  /// The number of scored positions.
  public let positions: Int

  /// e^(mean loss) of the model.
  public let perplexity: Estimate
  /// e^(mean loss) of the reference.
  public let basePerplexity: Estimate
  /// The correlation of the two losses over positions, from -1 to 1.
  public let correlation: Estimate
  /// ln(PPL / PPL(base)). The errors of this figure and the next two take the correlation into account.
  public let logRatio: Estimate
  /// PPL / PPL(base).
  public let ratio: Estimate
  /// PPL - PPL(base).
  public let difference: Estimate

  /// The mean KL(base || model), in nats.
  public let divergence: Estimate
  /// Quantiles of the divergence in nats, at ``divergenceFractions``.
  public let divergenceQuantiles: [Quantile]

  /// The mean change of the correct token's probability, model minus base, from -1 to 1.
  public let probabilityChange: Estimate
  /// The root mean square of the change.
  public let probabilityChangeRMS: Estimate
  /// Quantiles of the change, at ``changeFractions``.
  public let probabilityChangeQuantiles: [Quantile]

  /// The fraction of positions at which both have the same likeliest token.
  public let sameTop: Estimate

  /// Keys that come back from snake case, which has no upper case.
  private enum CodingKeys: String, CodingKey {
    case positions, perplexity, basePerplexity, correlation, logRatio, ratio, difference, divergence
    case divergenceQuantiles, probabilityChange, probabilityChangeQuantiles, sameTop
    case probabilityChangeRMS = "probabilityChangeRms"
  }

  /// The fractions of ``divergenceQuantiles``.
  public static let divergenceFractions = [1, 0.999, 0.99, 0.95, 0.9, 0.5, 0.1, 0.05, 0.01, 0.001, 0]
  /// The fractions of ``probabilityChangeQuantiles``.
  public static let changeFractions = [1, 0.999, 0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.01, 0.001, 0]

  /// The figures of a drift.
  public init(_ drift: Drift) {
    let count = drift.positions
    positions = count
    let loss = Estimate(meanOf: drift.losses)
    let baseLoss = Estimate(meanOf: drift.baseLosses)
    // The error of the paired differences includes the covariance.
    let gap = Estimate(meanOf: zip(drift.losses, drift.baseLosses).map { $0 - $1 })
    perplexity = Estimate(value: exp(loss.value), error: exp(loss.value) * loss.error)
    basePerplexity = Estimate(value: exp(baseLoss.value), error: exp(baseLoss.value) * baseLoss.error)
    let covariance =
      (loss.error * loss.error + baseLoss.error * baseLoss.error - gap.error * gap.error) / 2
    let scale = loss.error * baseLoss.error
    let r = scale > 0 ? covariance / scale : 1
    correlation = Estimate(value: r, error: count > 1 ? max(0, 1 - r * r) / Double(count - 1).squareRoot() : 0)
    logRatio = gap
    ratio = Estimate(value: exp(gap.value), error: exp(gap.value) * gap.error)
    let variance =
      perplexity.error * perplexity.error + basePerplexity.error * basePerplexity.error
      - 2 * perplexity.value * basePerplexity.value * covariance
    difference = Estimate(
      value: perplexity.value - basePerplexity.value, error: max(0, variance).squareRoot())

    divergence = Estimate(meanOf: drift.divergences)
    divergenceQuantiles = Quantile.all(Self.divergenceFractions, ofSorted: drift.divergences.sorted())

    let changes = zip(drift.losses, drift.baseLosses).map { exp(-$0) - exp(-$1) }
    probabilityChange = Estimate(meanOf: changes)
    let square = Estimate(meanOf: changes.map { $0 * $0 })
    let rms = square.value.squareRoot()
    probabilityChangeRMS = Estimate(value: rms, error: rms > 0 ? square.error / (2 * rms) : 0)
    probabilityChangeQuantiles = Quantile.all(Self.changeFractions, ofSorted: changes.sorted())

    let same = Double(drift.sameTops.count { $0 }) / Double(max(1, count))
    sameTop = Estimate(value: same, error: count > 1 ? (same * (1 - same) / Double(count - 1)).squareRoot() : 0)
  }

  /// The quantile of the divergence at one of ``divergenceFractions``, in nats; nil for other fractions.
  public func divergenceQuantile(_ fraction: Double) -> Double? {
    divergenceQuantiles.first { $0.fraction == fraction }?.value
  }
}
