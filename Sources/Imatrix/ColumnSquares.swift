import Tensors

/// Adds the squares of every column of x [tokens, columns] to `sums` from column `offset` on.
///
/// The sum does not depend on the order of tokens, nor on how they are cut into calls (``SquareSums``). Threads share
/// out the columns.
package func addColumnSquares(of x: Span<Float>, columns: Int, to sums: inout SquareSums, at offset: Int) throws {
  let tokens = x.count / columns
  precondition(x.count == tokens * columns && offset + columns <= sums.count, "\(x.count) in \(columns) columns")
  try x.withUnsafeBufferPointer { x in
    try sums.coarse.withUnsafeMutableBufferPointer { coarse in
      try sums.fine.withUnsafeMutableBufferPointer { fine in
        guard let source = x.baseAddress, let coarse = coarse.baseAddress, let fine = fine.baseAddress else { return }
        let view = SquareColumns(
          x: source, coarse: coarse + offset, fine: fine + offset, tokens: tokens, columns: columns)
        try parallelRanges(columns, grain: 512) { _, range in view.add(range) }
      }
    }
  }
}

/// The plain loop that tests ``addColumnSquares(of:columns:to:at:)``.
package func plainColumnSquares(of x: [Float], columns: Int) -> [Double] {
  var sums = [Double](repeating: 0, count: columns)
  for (index, value) in x.enumerated() { sums[index % columns] += Double(value) * Double(value) }
  return sums
}

/// Unchecked: each thread adds to a separate range of columns.
private struct SquareColumns: @unchecked Sendable {
  let x: UnsafePointer<Float>
  let coarse: UnsafeMutablePointer<Double>
  let fine: UnsafeMutablePointer<Double>
  let tokens: Int
  let columns: Int

  func add(_ range: Range<Int>) {
    var column = range.lowerBound
    while column + 8 <= range.upperBound {
      var high = UnsafeRawPointer(coarse + column).loadUnaligned(as: SIMD8<Double>.self)
      var low = UnsafeRawPointer(fine + column).loadUnaligned(as: SIMD8<Double>.self)
      for token in 0..<tokens {
        let values = UnsafeRawPointer(x + token * columns + column).loadUnaligned(as: SIMD8<Float>.self)
        let wide = SIMD8<Double>(values)
        let square = wide * wide
        let rounded = SquareSums.rounded(square)
        high += rounded.coarse
        low += rounded.fine
      }
      UnsafeMutableRawPointer(coarse + column).storeBytes(of: high, as: SIMD8<Double>.self)
      UnsafeMutableRawPointer(fine + column).storeBytes(of: low, as: SIMD8<Double>.self)
      column += 8
    }
    while column < range.upperBound {
      for token in 0..<tokens {
        let value = Double(x[token * columns + column])
        let rounded = SquareSums.rounded(SIMD8(repeating: value * value))
        coarse[column] += rounded.coarse[0]
        fine[column] += rounded.fine[0]
      }
      column += 1
    }
  }
}
