/// Sums of few tokens are rough: there are as many directions that no token has as columns are more than tokens. What follows
/// makes a matrix of them that errors can be judged by.
extension GramMatrix {
  /// Adds the sums of other tokens. Both are finished.
  public mutating func add(_ other: GramMatrix) {
    precondition(other.columns == columns && other.blockColumns == blockColumns, "\(other.columns) for \(columns)")
    tokens += other.tokens
    other.values.withUnsafeBufferPointer { added in
      values.withUnsafeMutableBufferPointer { values in
        for index in values.indices { values[index] += added[index] }
      }
    }
  }

  /// Keeps the diagonal, and draws each h_ij beside it to what it is at the correlation of the same columns elsewhere:
  /// (1 - share) h_ij + share c_ij √(h_ii h_jj), c_ij = t_ij / √(t_ii t_jj).
  ///
  /// - Parameters:
  ///   - share: 0 to 1.
  ///   - target: t, of the same columns and blocks; nil for no correlation.
  public mutating func shrink(by share: Float, toward target: GramMatrix? = nil) {
    precondition((0...1).contains(share), "\(share)")
    if let target {
      precondition(target.columns == columns && target.blockColumns == blockColumns, "\(target.columns) for \(columns)")
    }
    let own = diagonal
    let scales = target.map { zip(own, $0.diagonal).map { $1 > 0 ? ($0 / $1).squareRoot() : 0 } }
    for range in ranges {
      let (offset, width) = (offset(of: range), range.count)
      for row in 0..<width {
        let first = offset + row * width
        for column in row + 1..<max(row + 1, width) {
          var value = (1 - share) * values[first + column]
          if let target, let scales {
            value +=
              share * target.values[first + column] * scales[range.lowerBound + row] * scales[range.lowerBound + column]
          }
          values[first + column] = value
        }
      }
    }
  }

  /// The sum of eᵀHe over the rows e of `errors` [rows, columns].
  public func cost(of errors: Span<Float>) -> Double {
    precondition(errors.count % columns == 0, "\(errors.count) floats in \(columns) columns")
    var sum = 0.0
    for first in stride(from: 0, to: errors.count, by: columns) {
      for range in ranges {
        let (offset, width) = (offset(of: range), range.count)
        for row in 0..<width {
          let e = errors[first + range.lowerBound + row]
          guard e != 0 else { continue }
          var product = values[offset + row * width + row] * e / 2
          for column in row + 1..<max(row + 1, width) {
            product += values[offset + row * width + column] * errors[first + range.lowerBound + column]
          }
          sum += 2 * Double(e) * Double(product)
        }
      }
    }
    return sum
  }
}
