/// A figure and its standard error.
public struct Estimate: Sendable, Equatable, Codable {
  /// The figure.
  public let value: Double
  /// One standard error; 0 where fewer than two samples leave it unknown.
  public let error: Double

  /// A figure with its standard error.
  public init(value: Double, error: Double) {
    self.value = value
    self.error = error
  }

  /// The mean of `samples`, with the error sqrt(variance / (n - 1)) that llama-perplexity prints.
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

/// A value below which `fraction` of the samples lie.
public struct Quantile: Sendable, Equatable, Codable {
  /// The fraction of values below it, 0 to 1.
  public let fraction: Double
  /// The figure.
  public let value: Double
  /// One standard error: half the distance between the quantiles that lie sqrt(f (1 - f) / n) below and above, as many
  /// samples as chance moves the place of the quantile by. Nil for the least and the greatest, which have none.
  public let error: Double?

  /// Quantiles of samples in ascending order, linear between neighbours; fraction 0 is the least, 1 the greatest.
  static func all(_ fractions: [Double], ofSorted samples: [Double]) -> [Quantile] {
    guard let last = samples.indices.last else { return [] }
    func value(_ fraction: Double) -> Double {
      let place = fraction * Double(last)
      let index = min(Int(place), last)
      let weight = place - Double(index)
      return (1 - weight) * samples[index] + weight * samples[min(index + 1, last)]
    }
    return fractions.map { fraction in
      let step = (fraction * (1 - fraction) / Double(samples.count)).squareRoot()
      let error = (value(min(1, fraction + step)) - value(max(0, fraction - step))) / 2
      return Quantile(fraction: fraction, value: value(fraction), error: step > 0 ? error : nil)
    }
  }
}
