/// A matrix in double precision that a product reads, row after row or transposed.
struct DoubleMatrix {
  let base: UnsafePointer<Double>
  /// Elements between the beginnings of two stored rows.
  let stride: Int
  var isTransposed = false
}

/// The factor R of a symmetric matrix H = R Rᵀ, R upper triangular, and its inverse by column blocks.
///
/// Goals in order: the same bits on any number of threads, then speed. The matrix is cut into blocks of ``block`` columns.
/// A diagonal block is factored by plain loops; everything else is a product of fixed shape on one thread, so only the
/// order in which products are computed depends on the number of threads.
///
/// For block columns k from last to first, with S the matrix from which the later columns' products were subtracted:
///
///     S_kk = R_kk R_kkᵀ        R_ik = S_ik R_kk⁻ᵀ  (i < k)        S_ij -= R_ik R_jkᵀ  (i ≤ j < k)
///
/// Costs n³/3 multiplications, and as many for the inverse; holds the matrix in double precision.
struct ReverseCholesky: ~Copyable {
  static let block = 256

  let n: Int
  let matrix: UnsafeMutablePointer<Double>
  /// For every diagonal block the transpose of R_kk⁻¹, [block][block].
  private let inverses: UnsafeMutablePointer<Double>

  /// - Parameter fill: writes row `row`, columns `row..<n` at least.
  init(_ n: Int, fill: @Sendable (_ row: Int, _ values: UnsafeMutablePointer<Double>) -> Void) throws {
    self.n = n
    matrix = .allocate(capacity: n * n)
    inverses = .allocate(capacity: (n + Self.block - 1) / Self.block * Self.block * Self.block)
    let view = DoubleView(matrix)
    try parallelRanges(n, grain: 64) { _, rows in
      for row in rows { fill(row, view.base + row * n) }
    }
  }

  deinit {
    matrix.deallocate()
    inverses.deallocate()
  }

  /// Replaces the matrix by R. False where the matrix is not positive definite; it is spoiled then.
  func factor() throws -> Bool {
    let (n, matrix, block) = (n, DoubleView(matrix), Self.block)
    let inverses = DoubleView(inverses)
    for k in (0..<(n + block - 1) / block).reversed() {
      let start = k * block
      let width = min(block, n - start)
      let inverse = inverses.base + k * block * block
      guard factorDiagonal(matrix.base + start * n + start, width: width, stride: n, inverse: inverse) else {
        return false
      }
      let column = DoubleView(UnsafeMutablePointer(mutating: matrix.base + start))
      let transposed = DoubleView(inverse)
      try parallelRanges(k, grain: 1) { i, _ in
        let target = column.base + i * block * n
        withUnsafeTemporaryAllocation(of: Double.self, capacity: block * width) { copy in
          let copy = copy.baseAddress!
          for row in 0..<block { (copy + row * width).update(from: target + row * n, count: width) }
          BLAS.multiply(
            DoubleMatrix(base: copy, stride: width), by: DoubleMatrix(base: transposed.base, stride: block),
            into: target, cStride: n, m: block, n: width, k: width, alpha: 1, beta: 0)
        }
      }
      // Tile t of the upper triangle of k by k tiles.
      try parallelRanges(k * (k + 1) / 2, grain: 1) { t, _ in
        var (i, j) = (0, t)
        while j >= k - i {
          j -= k - i
          i += 1
        }
        j += i
        BLAS.multiply(
          DoubleMatrix(base: column.base + i * block * n, stride: n),
          by: DoubleMatrix(base: column.base + j * block * n, stride: n, isTransposed: true),
          into: matrix.base + i * block * n + j * block, cStride: n, m: block, n: block, k: width, alpha: -1, beta: 1)
      }
    }
    return true
  }

  /// Calls `body` with every block column of R⁻¹, on all threads: rows `0..<start + width` of `columns`, row-major with
  /// ``block`` elements a row. `diagonal` is that of R.
  func forEachInverseColumn(
    _ body:
      @Sendable (_ start: Int, _ width: Int, _ diagonal: UnsafePointer<Double>, _ columns: UnsafePointer<Double>) ->
      Void
  ) throws {
    let (n, matrix, inverses, block) = (n, DoubleView(matrix), DoubleView(inverses), Self.block)
    let count = (n + block - 1) / block
    let diagonal = (0..<n).map { matrix.base[$0 * n + $0] }
    // The last column costs the most and comes first.
    try parallelRanges(count, grain: 1) { index, _ in
      let j = count - 1 - index
      let start = j * block
      let width = min(block, n - start)
      let columns = UnsafeMutablePointer<Double>.allocate(capacity: (start + width) * block)
      let sum = UnsafeMutablePointer<Double>.allocate(capacity: block * block)
      defer {
        columns.deallocate()
        sum.deallocate()
      }
      let transposed = inverses.base + j * block * block
      for row in 0..<width {
        for column in row..<width { columns[(start + row) * block + column] = transposed[column * block + row] }
        for column in 0..<row { columns[(start + row) * block + column] = 0 }
      }
      for i in (0..<j).reversed() {
        let below = (i + 1) * block
        BLAS.multiply(
          DoubleMatrix(base: matrix.base + i * block * n + below, stride: n),
          by: DoubleMatrix(base: columns + below * block, stride: block), into: sum, cStride: block, m: block,
          n: width, k: start + width - below, alpha: 1, beta: 0)
        BLAS.multiply(
          DoubleMatrix(base: inverses.base + i * block * block, stride: block, isTransposed: true),
          by: DoubleMatrix(base: sum, stride: block), into: columns + i * block * block, cStride: block, m: block,
          n: width, k: block, alpha: -1, beta: 0)
      }
      body(start, width, diagonal, columns)
    }
  }

  /// Factors a diagonal block in place and writes the transpose of the factor's inverse. False where a pivot is not
  /// positive.
  private func factorDiagonal(
    _ target: UnsafeMutablePointer<Double>, width: Int, stride: Int, inverse: UnsafeMutablePointer<Double>
  ) -> Bool {
    let block = Self.block
    return withUnsafeTemporaryAllocation(of: Double.self, capacity: block * (block + 1)) { scratch in
      // Row j holds column j of R.
      let factor = scratch.baseAddress!
      let vector = factor + block * block
      for j in 0..<width {
        for i in 0...j { factor[j * block + i] = target[i * stride + j] }
      }
      for j in (0..<width).reversed() {
        let column = factor + j * block
        guard column[j] > 0, column[j].isFinite else { return false }
        let pivot = column[j].squareRoot()
        column[j] = pivot
        for i in 0..<j { column[i] /= pivot }
        for m in 0..<j {
          let (other, scale) = (factor + m * block, column[m])
          for i in 0...m { other[i] -= scale * column[i] }
        }
      }
      inverse.update(repeating: 0, count: block * block)
      for c in 0..<width {
        vector.update(repeating: 0, count: c)
        vector[c] = 1
        for m in (0...c).reversed() {
          let (column, x) = (factor + m * block, vector[m] / factor[m * block + m])
          inverse[c * block + m] = x
          for i in 0..<m { vector[i] -= x * column[i] }
        }
      }
      for j in 0..<width {
        for i in 0...j { target[i * stride + j] = factor[j * block + i] }
      }
      return true
    }
  }
}

/// Numbers of which every task writes a part.
struct DoubleView: @unchecked Sendable {
  let base: UnsafeMutablePointer<Double>
  init(_ base: UnsafeMutablePointer<Double>) { self.base = base }
}
