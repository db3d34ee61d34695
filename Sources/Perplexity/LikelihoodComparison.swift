import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A comparison of two models on the same tokens, position by position. The difficulty of a token cancels, so the error
/// of the ratio is far smaller than the errors of the perplexities.
public struct LikelihoodComparison: Sendable, Equatable, Codable {
  /// The mean difference of the losses, in nats per token.
  public let logRatio: Estimate
  /// The model's perplexity divided by the other's: e^logRatio.
  public let ratio: Estimate
  /// The interval of the ratio, from resampled windows.
  public let interval: ConfidenceInterval

  /// - Parameters:
  ///   - rows: the scored positions to compare; nil for all.
  ///   - rowsPerWindow: the number of scored positions of a window.
  public init(_ model: Likelihood, with other: Likelihood, rows: [Range<Int>]? = nil, rowsPerWindow: Int) {
    precondition(model.losses.count == other.losses.count, "\(model.losses.count) and \(other.losses.count) losses")
    let differences = (rows ?? [0..<model.losses.count]).flatMap { rows in
      rows.map { model.losses[$0] - other.losses[$0] }
    }
    logRatio = Estimate(meanOf: differences)
    ratio = Estimate(value: exp(logRatio.value), error: exp(logRatio.value) * logRatio.error)
    let interval = Bootstrap.interval(ofMean: differences, rowsPerWindow: rowsPerWindow)
    self.interval = ConfidenceInterval(
      low: exp(interval.low), high: exp(interval.high), confidence: interval.confidence)
  }
}

extension LikelihoodStatistics {
  /// The loss in bits per byte of text. It is comparable between models with different tokenizers.
  ///
  /// - Parameter bytes: the length of the scored tokens' text.
  public func bitsPerByte(bytes: Int) -> Estimate {
    let scale = Double(positions) / Double(max(1, bytes)) / log(2)
    return Estimate(value: loss.value * scale, error: loss.error * scale)
  }
}
