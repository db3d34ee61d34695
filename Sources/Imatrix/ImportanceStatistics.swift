import GGUF

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The figures that `llama-imatrix --show-statistics` prints for a tensor, over the mean squared activations of its
/// columns.
public struct ImportanceStatistics: Sendable, Equatable {
  /// The tensor's name.
  public let tensor: String
  /// The layer; nil for a tensor outside of layers.
  public let layer: Int?
  /// The sum of the columns' mean squares.
  public let total: Double
  /// The smallest of the columns' mean squares.
  public let minimum: Double
  /// The largest of the columns' mean squares.
  public let maximum: Double
  /// The mean of the columns' mean squares.
  public let mean: Double
  /// The standard deviation of the columns' mean squares.
  public let deviation: Double
  /// The fraction of columns whose mean square is above 1e-5.
  public let active: Double
  /// The number of columns, over all experts that processed tokens.
  public let columns: Int
  /// The Shannon entropy of the columns' shares, in bits.
  public let entropy: Double
  /// The entropy relative to its maximum, from 0 to 1.
  public var normalizedEntropy: Double { columns > 1 ? entropy / log2(Double(columns)) : 0 }
  /// The fraction of columns more than one standard deviation above the mean.
  public let outliers: Double
  /// The cosine of the sums of this tensor and of the same tensor in the layer before; nil in the first layer.
  public let similarity: Double?
}

extension ImportanceMatrix {
  /// The statistics of every tensor, sorted by kind, then by falling total.
  public var statistics: [ImportanceStatistics] {
    names.compactMap(statistics).sorted {
      let (a, b) = (Self.kind($0.tensor), Self.kind($1.tensor))
      return a == b ? ($0.total, $1.tensor) > ($1.total, $0.tensor) : a < b
    }
  }

  private static func kind(_ name: String) -> String { TensorName(name).title }

  private func statistics(of name: String) -> ImportanceStatistics? {
    let entry = entries[name]!
    let width = entry.sums.count / entry.counts.count
    // Experts without tokens are left out.
    let means = entry.sums.indices.compactMap { index -> Double? in
      let count = entry.counts[index / width]
      return count > 0 ? Double(entry.sums[index]) / Double(count) : nil
    }
    guard !means.isEmpty else { return nil }
    let n = Double(means.count)
    let total = means.reduce(0, +)
    let mean = total / n
    let deviation = max(0, means.reduce(0) { $0 + $1 * $1 } / n - mean * mean).squareRoot()
    let entropy = total > 0 ? means.reduce(0) { $1 > 0 ? $0 - $1 / total * log2($1 / total) : $0 } : 0
    return ImportanceStatistics(
      tensor: name, layer: TensorName(name).layer, total: total, minimum: means.min()!, maximum: means.max()!,
      mean: mean,
      deviation: deviation, active: Double(means.count { $0 > 1e-5 }) / n, columns: means.count, entropy: entropy,
      outliers: deviation > 0 ? Double(means.count { ($0 - mean) / deviation > 1 }) / n : 0,
      similarity: similarity(of: name))
  }

  private func similarity(of name: String) -> Double? {
    guard let layer = TensorName(name).layer, layer > 0 else { return nil }
    let below = name.replacing("blk.\(layer).", with: "blk.\(layer - 1).", maxReplacements: 1)
    guard let sums = entries[name]?.sums, let other = entries[below]?.sums, sums.count == other.count else {
      return nil
    }
    func dot(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
    let norms = (dot(sums, sums) * dot(other, other)).squareRoot()
    return norms > 0 ? dot(sums, other) / norms : nil
  }
}

/// Means of the statistics of a layer's tensors, weighted by their columns.
public struct LayerStatistics: Sendable, Equatable {
  /// The layer's index.
  public let layer: Int
  /// The mean of ``ImportanceStatistics/total``.
  public let total: Double
  /// The mean of ``ImportanceStatistics/outliers``.
  public let outliers: Double
  /// The mean of ``ImportanceStatistics/similarity``, in which nil counts as 0.
  public let similarity: Double
}

extension ImportanceMatrix {
  /// The statistics of every layer, in order.
  public static func layers(of statistics: [ImportanceStatistics]) -> [LayerStatistics] {
    Dictionary(grouping: statistics.filter { $0.layer != nil }, by: { $0.layer! }).sorted { $0.key < $1.key }.map {
      layer, tensors in
      let columns = tensors.reduce(0.0) { $0 + Double($1.columns) }
      func mean(_ value: (ImportanceStatistics) -> Double) -> Double {
        tensors.reduce(0) { $0 + Double($1.columns) * value($1) } / columns
      }
      return LayerStatistics(
        layer: layer, total: mean { $0.total }, outliers: mean { $0.outliers }, similarity: mean { $0.similarity ?? 0 })
    }
  }
}
