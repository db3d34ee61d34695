/// The divergence that all measurements of a table contain: that of the file around the tensor, not of the tensor.
///
/// In a published table of GLM-4.6, 923 tensors from 5 million to 1.3 billion weights have 0.0145 to 0.0170. If logarithms of
/// the differences to the floor are distributed symmetrically, quantiles p and 1 - p determine it:
/// (median - floor)^2 = (low - floor) (high - floor). `Scripts/derive-prior` estimates it in the same way for ``Prior``.
enum MeasurementFloor {
  /// With fewer values, the 5 % quantile is one of the smallest two.
  static let minimumCount = 40

  /// At least zero, at most the smallest value. Zero for few values, and where small ones are rarer than large ones.
  static func estimate(_ values: [Double]) -> Double {
    guard values.count >= minimumCount else { return 0 }
    let sorted = values.sorted()
    let (low, middle, high) = (quantile(0.05, of: sorted), quantile(0.5, of: sorted), quantile(0.95, of: sorted))
    let skew = low + high - 2 * middle
    guard skew > 0 else { return 0 }
    return min(max((low * high - middle * middle) / skew, 0), sorted[0])
  }

  /// Linear between the two nearest values.
  private static func quantile(_ share: Double, of sorted: [Double]) -> Double {
    let position = share * Double(sorted.count - 1)
    let index = min(Int(position), sorted.count - 2)
    return sorted[index] + (position - Double(index)) * (sorted[index + 1] - sorted[index])
  }
}
