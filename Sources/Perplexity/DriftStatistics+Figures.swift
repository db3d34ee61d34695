extension DriftStatistics {
  /// A figure with its name in tables and CSV files.
  public struct Figure: Sendable, Equatable {
    /// The column's name.
    public let name: String
    /// The figure.
    public let value: Double
    /// Its standard error; nil for a count.
    public let error: Double?
  }

  /// Every figure, in the order of the columns of a CSV file. The order is the same for all models.
  public var figures: [Figure] {
    func estimate(_ name: String, _ estimate: Estimate) -> Figure {
      Figure(name: name, value: estimate.value, error: estimate.error)
    }
    func quantiles(_ name: String, _ quantiles: [Quantile]) -> [Figure] {
      quantiles.map { Figure(name: "\(name)_\($0.fraction)", value: $0.value, error: $0.error) }
    }
    return [
      Figure(name: "positions", value: Double(positions), error: nil),
      estimate("perplexity", perplexity), estimate("perplexity_base", basePerplexity),
      estimate("correlation", correlation),
      estimate("log_ratio", logRatio), estimate("ratio", ratio), estimate("difference", difference),
      estimate("kld", divergence),
    ] + quantiles("kld", divergenceQuantiles) + [estimate("delta_p", probabilityChange)]
      + quantiles("delta_p", probabilityChangeQuantiles)
      + [estimate("delta_p_rms", probabilityChangeRMS), estimate("same_top", sameTop)]
  }
}
