import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A model beside another on the same tokens. Both are compared position by position, so that what is hard for both
/// cancels: the error of their ratio is far smaller than either perplexity's own.
public struct LikelihoodComparison: Sendable, Equatable, Codable {
  /// The mean difference of their losses, in nats a token.
  public let logRatio: Estimate
  /// Perplexity by the other's: e^logRatio.
  public let ratio: Estimate
  /// Of the ratio, from resampled windows.
  public let interval: ConfidenceInterval

  /// - Parameters:
  ///   - rows: scored positions to compare; nil for all.
  ///   - rowsPerWindow: scored positions of a window.
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
  /// What the text takes in bits a byte of its own, which models with other tokens can be compared by.
  ///
  /// - Parameter bytes: of the text that the scored tokens stand for.
  public func bitsPerByte(bytes: Int) -> Estimate {
    let scale = Double(positions) / Double(max(1, bytes)) / log(2)
    return Estimate(value: loss.value * scale, error: loss.error * scale)
  }
}
