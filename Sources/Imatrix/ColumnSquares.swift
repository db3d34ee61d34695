import Tensors

/// Adds the sum of squares of every column of x [tokens, columns] to `sums`, from `offset` on.
///
/// Up to 64 squares are summed in single precision (relative error below 4e-6), and these sums in double precision:
/// over a million tokens, a single-precision sum would lose the addends. Threads share out the columns, so that
/// additions are always in the order of tokens.
package func addColumnSquares(
  of x: Span<Float>, columns: Int, to sums: inout MutableSpan<Double>, at offset: Int
) throws {
  let tokens = x.count / columns
  precondition(x.count == tokens * columns && offset + columns <= sums.count, "\(x.count) in \(columns) columns")
  try x.withUnsafeBufferPointer { x in
    try sums.withUnsafeMutableBufferPointer { sums in
      guard let source = x.baseAddress, let base = sums.baseAddress else { return }
      let view = SquareColumns(x: source, sums: base + offset, tokens: tokens, columns: columns)
      try parallelRanges(columns, grain: 512) { _, range in view.add(range) }
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
  let sums: UnsafeMutablePointer<Double>
  let tokens: Int
  let columns: Int

  private static let chunk = 64

  func add(_ range: Range<Int>) {
    var column = range.lowerBound
    while column + 16 <= range.upperBound {
      for start in stride(from: 0, to: tokens, by: Self.chunk) {
        var low = SIMD8<Float>.zero
        var high = SIMD8<Float>.zero
        for token in start..<min(tokens, start + Self.chunk) {
          let p = UnsafeRawPointer(x + token * columns + column)
          let a = p.loadUnaligned(as: SIMD8<Float>.self)
          let b = p.loadUnaligned(fromByteOffset: 32, as: SIMD8<Float>.self)
          low += a * a
          high += b * b
        }
        for lane in 0..<8 {
          sums[column + lane] += Double(low[lane])
          sums[column + 8 + lane] += Double(high[lane])
        }
      }
      column += 16
    }
    while column < range.upperBound {
      for start in stride(from: 0, to: tokens, by: Self.chunk) {
        var sum: Float = 0
        for token in start..<min(tokens, start + Self.chunk) {
          let v = x[token * columns + column]
          sum += v * v
        }
        sums[column] += Double(sum)
      }
      column += 1
    }
  }
}
