import Tensors

/// The parts of the metric that a sub-block's search needs, for all sub-blocks of a row.
final class ScalarTables: @unchecked Sendable {
  /// For every sub-block, the transpose of its unit upper factor in U, [columns][length]: row j holds column j.
  let factors: UnsafeMutablePointer<Float>
  /// For descent, where all other sub-blocks are fixed: the same of the factor of H within the sub-block.
  let gramFactors: UnsafeMutablePointer<Float>
  /// Its pivots, [columns].
  let gramPivots: UnsafeMutablePointer<Float>
  /// -H⁻¹ within the sub-block, [columns][length].
  let gramInverses: UnsafeMutablePointer<Float>

  init(_ metric: FeedbackMetric, length: Int, descends: Bool) {
    let count = metric.columns * length
    factors = .allocate(capacity: count)
    gramFactors = .allocate(capacity: count)
    gramPivots = .allocate(capacity: metric.columns)
    gramInverses = .allocate(capacity: count)
    let storage = metric.storage
    let full = FeedbackMetric.panelColumns
    for panel in storage.panels {
      for start in stride(from: 0, to: panel.width, by: length) {
        let near = storage.pointer(panel.near) + start * full + start
        let slot = (panel.start + start) * length
        for i in 0..<length {
          for j in 0..<length { factors[slot + j * length + i] = near[i * full + j] }
        }
        guard descends else { continue }
        let gram = storage.pointer(panel.nearGram) + start * full + start
        let local = LocalFactor(length) { Double(gram[$0 * full + $1]) }
        for i in 0..<length {
          gramPivots[panel.start + start + i] = Float(local.pivots[i])
          for j in 0..<length {
            gramFactors[slot + j * length + i] = Float(local.unit[i * length + j])
            gramInverses[slot + i * length + j] = Float(-local.inverse[i * length + j])
          }
        }
      }
    }
  }

  deinit {
    factors.deallocate()
    gramFactors.deallocate()
    gramPivots.deallocate()
    gramInverses.deallocate()
  }
}

/// The factor of a small positive definite matrix M: M⁻¹ = Uᵀ D⁻¹ U with U unit upper triangular.
package struct LocalFactor {
  /// U, row-major.
  package var unit: [Double]
  /// D.
  package var pivots: [Double]
  /// M⁻¹.
  package var inverse: [Double]

  /// - Parameter value: an element of M; the upper triangle is read.
  package init(_ n: Int, _ value: (Int, Int) -> Double) {
    // M = V D Vᵀ with V unit upper triangular, from the last column to the first.
    var v = [Double](repeating: 0, count: n * n)
    pivots = [Double](repeating: 0, count: n)
    for j in (0..<n).reversed() {
      for i in (0...j).reversed() {
        var sum = value(i, j)
        for k in j + 1..<max(n, j + 1) { sum -= v[i * n + k] * v[j * n + k] * pivots[k] }
        if i == j {
          pivots[j] = sum
          v[j * n + j] = 1
        } else {
          v[i * n + j] = sum / pivots[j]
        }
      }
    }
    // U = V⁻¹.
    unit = [Double](repeating: 0, count: n * n)
    for j in 0..<n {
      unit[j * n + j] = 1
      for i in (0..<j).reversed() {
        var sum = 0.0
        for k in i + 1...j { sum -= v[i * n + k] * unit[k * n + j] }
        unit[i * n + j] = sum
      }
    }
    inverse = [Double](repeating: 0, count: n * n)
    for i in 0..<n {
      for j in 0..<n {
        for k in 0...min(i, j) { inverse[i * n + j] += unit[k * n + i] * unit[k * n + j] / pivots[k] }
      }
    }
  }
}
