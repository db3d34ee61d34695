extension ReverseCholesky {
  /// Right sides that a task solves for.
  private static let sides = 64

  /// H⁻¹Bᵀ, [columns, rows], for a product B [rows, columns] times `scale`; H is factored.
  func solved(_ product: CrossProduct, scale: Double) throws -> [Float] {
    let (n, count) = (product.columns, product.rows)
    precondition(n == self.count, "\(n) columns for \(self.count)")
    let (factor, stride) = (DoubleView(matrix), self.n)
    var result = [Float](repeating: 0, count: n * count)
    try result.withUnsafeMutableBufferPointer { result in
      try product.values.withUnsafeBufferPointer { values in
        let view = Sides(values: values.baseAddress!, result: result.baseAddress!)
        try parallelRanges(count, grain: Self.sides) { _, range in
          let width = range.count
          let side = UnsafeMutablePointer<Double>.allocate(capacity: n * width)
          defer { side.deallocate() }
          for row in 0..<n {
            for (index, column) in range.enumerated() {
              side[row * width + index] = Double(view.values[column * n + row]) * scale
            }
          }
          // R Y = B, then Rᵀ Z = Y.
          BLAS.solve(DoubleMatrix(base: factor.base, stride: stride), side, size: n, sides: width)
          BLAS.solve(DoubleMatrix(base: factor.base, stride: stride, isTransposed: true), side, size: n, sides: width)
          for row in 0..<n {
            for (index, column) in range.enumerated() {
              view.result[row * count + column] = Float(side[row * width + index])
            }
          }
        }
      }
    }
    return result
  }
}

/// The matrices that tasks read and write by columns.
private struct Sides: @unchecked Sendable {
  let values: UnsafePointer<Float>
  let result: UnsafeMutablePointer<Float>
}
