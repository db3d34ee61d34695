/// A figure and its standard error.
public struct Estimate: Sendable, Equatable, Codable {
  /// The figure.
  public let value: Double
  /// One standard error; 0 for fewer than two samples.
  public let error: Double

  /// A figure with its standard error.
  public init(value: Double, error: Double) {
    self.value = value
    self.error = error
  }

  /// The mean of `samples`, with the error sqrt(variance / (n - 1)), as in llama-perplexity.
  public init(meanOf samples: some Collection<Double>) {
    let count = Double(samples.count)
    guard count > 0 else {
      self.init(value: 0, error: 0)
      return
    }
    let mean = samples.reduce(0, +) / count
    let variance = samples.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
    self.init(value: mean, error: count > 1 ? (variance / (count - 1)).squareRoot() : 0)
  }
}

/// The value below which `fraction` of the samples are.
public struct Quantile: Sendable, Equatable, Codable {
  /// The fraction of samples below the value, from 0 to 1.
  public let fraction: Double
  /// The figure.
  public let value: Double
  /// One standard error: half the distance between the quantiles at f ± sqrt(f (1 - f) / n), which is the standard
  /// deviation of the quantile's rank. Nil for the minimum and the maximum.
  public let error: Double?

  /// Quantiles of samples in ascending order, with linear interpolation. Fraction 0 is the minimum, 1 the maximum.
  static func all(_ fractions: [Double], ofSorted samples: [Double]) -> [Quantile] {
    guard let last = samples.indices.last else { return [] }
    func value(_ fraction: Double) -> Double {
      let rank = fraction * Double(last)
      let index = min(Int(rank), last)
      let weight = rank - Double(index)
      return (1 - weight) * samples[index] + weight * samples[min(index + 1, last)]
    }
    return fractions.map { fraction in
      let step = (fraction * (1 - fraction) / Double(samples.count)).squareRoot()
      let error = (value(min(1, fraction + step)) - value(max(0, fraction - step))) / 2
      return Quantile(fraction: fraction, value: value(fraction), error: step > 0 ? error : nil)
    }
  }
}
