import GGUF

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// What `llama-imatrix --show-statistics` prints of a tensor: figures of the mean squared activations of its columns.
public struct ImportanceStatistics: Sendable, Equatable {
  public let tensor: String
  /// The layer, or nil for a tensor outside of layers.
  public let layer: Int?
  /// Sum, extremes, mean and standard deviation of the columns' mean squares.
  public let total: Double
  public let least: Double
  public let most: Double
  public let mean: Double
  public let deviation: Double
  /// The part of columns whose mean square is above 1e-5.
  public let active: Double
  public let columns: Int
  /// Shannon entropy of the columns' shares, in bits, and relative to the most there could be.
  public let entropy: Double
  public var normalizedEntropy: Double { columns > 1 ? entropy / log2(Double(columns)) : 0 }
  /// The part of columns that lie more than one standard deviation above the mean.
  public let outliers: Double
  /// Cosine between the sums of this tensor and of the same tensor a layer below; nil in the first layer.
  public let similarity: Double?
}

extension ImportanceMatrix {
  /// One for every tensor: by kind, and within a kind by falling total.
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
    // Experts that saw nothing are left out.
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
      tensor: name, layer: TensorName(name).layer, total: total, least: means.min()!, most: means.max()!, mean: mean,
      deviation: deviation, active: Double(means.count { $0 > 1e-5 }) / n, columns: means.count, entropy: entropy,
      outliers: deviation > 0 ? Double(means.count { ($0 - mean) / deviation > 1 }) / n : 0,
      similarity: similarity(of: name))
  }

  private func similarity(of name: String) -> Double? {
    guard let layer = TensorName(name).layer, layer > 0 else { return nil }
    let below = name.replacing("blk.\(layer).", with: "blk.\(layer - 1).", maxReplacements: 1)
    guard let own = entries[name]?.sums, let other = entries[below]?.sums, own.count == other.count else { return nil }
    func dot(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
    let norms = (dot(own, own) * dot(other, other)).squareRoot()
    return norms > 0 ? dot(own, other) / norms : nil
  }
}

/// What the statistics of a layer's tensors come to, weighted by their columns.
public struct LayerStatistics: Sendable, Equatable {
  public let layer: Int
  public let total: Double
  public let outliers: Double
  public let similarity: Double
}

extension ImportanceMatrix {
  /// One for every layer, in order.
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
