/// The factor R of a symmetric matrix H = R Rᵀ, R upper triangular, and its inverse by column blocks.
///
/// Goals in order: the same bits on any number of threads, then speed. The matrix is cut into blocks of ``block`` columns
/// (filled up with ones on the diagonal). A diagonal block is factored by plain loops; everything else is a product of two
/// blocks on one thread, so only the order in which products are computed depends on the number of threads.
///
/// For block columns k from last to first, with S the matrix from which the later columns' products were subtracted:
///
///     S_kk = R_kk R_kkᵀ        R_ik = S_ik R_kk⁻ᵀ  (i < k)        S_ij -= R_ik R_jkᵀ  (i ≤ j < k)
///
/// Costs n³/3 multiplications, and as many for the inverse; holds the matrix in double precision.
struct ReverseCholesky: ~Copyable {
  static let block = DoubleBlocks.size

  /// Rows and columns of the given matrix.
  let count: Int
  /// The same with the filling: elements between the beginnings of two rows of `matrix`.
  let n: Int
  let matrix: UnsafeMutablePointer<Double>
  /// For every diagonal block the transpose of R_kk⁻¹, [block][block].
  private let inverses: UnsafeMutablePointer<Double>

  /// - Parameter fill: writes row `row`, columns `row..<count` at least.
  init(_ count: Int, fill: @Sendable (_ row: Int, _ values: UnsafeMutablePointer<Double>) -> Void) throws {
    let n = (count + Self.block - 1) / Self.block * Self.block
    (self.count, self.n) = (count, n)
    matrix = .allocate(capacity: n * n)
    inverses = .allocate(capacity: n * Self.block)
    let view = DoubleView(matrix)
    try parallelRanges(n, grain: 64) { _, rows in
      for row in rows {
        let values = view.base + row * n
        (values + row).update(repeating: 0, count: n - row)
        if row < count { fill(row, values) } else { values[row] = 1 }
      }
    }
  }

  deinit {
    matrix.deallocate()
    inverses.deallocate()
  }

  /// Replaces the matrix by R. False where the matrix is not positive definite; it is spoiled then.
  func factor() throws -> Bool {
    let (n, matrix, inverses, block) = (n, DoubleView(matrix), DoubleView(inverses), Self.block)
    for k in (0..<n / block).reversed() {
      let column = DoubleView(matrix.base + k * block)
      let inverse = DoubleView(inverses.base + k * block * block)
      guard factorDiagonal(column.base + k * block * n, inverse: inverse.base) else { return false }
      try parallelRanges(k, grain: 1) { i, _ in
        let target = column.base + i * block * n
        // The product packs its left side before it writes.
        DoubleBlocks().multiply(
          DoubleMatrix(base: target, stride: n), by: DoubleMatrix(base: inverse.base, stride: block), k: block,
          into: target, stride: n, sign: 1, accumulate: false)
      }
      // Tile t of the upper triangle of k by k tiles.
      try parallelRanges(k * (k + 1) / 2, grain: 1) { t, _ in
        var (i, j) = (0, t)
        while j >= k - i {
          j -= k - i
          i += 1
        }
        j += i
        DoubleBlocks().multiply(
          DoubleMatrix(base: column.base + i * block * n, stride: n),
          by: DoubleMatrix(base: column.base + j * block * n, stride: n, isTransposed: true), k: block,
          into: matrix.base + i * block * n + j * block, stride: n, sign: -1, accumulate: true)
      }
    }
    return true
  }

  /// Calls `body` with every block column of R⁻¹, on all threads: rows `0..<start + block` of `columns`, row-major with
  /// ``block`` elements a row. `diagonal` is that of R.
  func forEachInverseColumn(
    _ body: @Sendable (_ start: Int, _ diagonal: UnsafePointer<Double>, _ columns: UnsafePointer<Double>) -> Void
  ) throws {
    let (n, matrix, inverses, block) = (n, DoubleView(matrix), DoubleView(inverses), Self.block)
    let diagonal = (0..<n).map { matrix.base[$0 * n + $0] }
    // The last column costs the most and comes first.
    try parallelRanges(n / block, grain: 1) { index, _ in
      let j = n / block - 1 - index
      let start = j * block
      let columns = UnsafeMutablePointer<Double>.allocate(capacity: (start + block) * block)
      let sum = UnsafeMutablePointer<Double>.allocate(capacity: block * block)
      defer {
        columns.deallocate()
        sum.deallocate()
      }
      let transposed = inverses.base + j * block * block
      for row in 0..<block {
        for column in 0..<block { columns[(start + row) * block + column] = transposed[column * block + row] }
      }
      let blocks = DoubleBlocks()
      for i in (0..<j).reversed() {
        let below = (i + 1) * block
        blocks.multiply(
          DoubleMatrix(base: matrix.base + i * block * n + below, stride: n),
          by: DoubleMatrix(base: columns + below * block, stride: block), k: start + block - below, into: sum,
          stride: block, sign: 1, accumulate: false)
        blocks.multiply(
          DoubleMatrix(base: inverses.base + i * block * block, stride: block, isTransposed: true),
          by: DoubleMatrix(base: sum, stride: block), k: block, into: columns + i * block * block, stride: block,
          sign: -1, accumulate: false)
      }
      body(start, diagonal, columns)
    }
  }

  /// Factors a diagonal block in place and writes the transpose of the factor's inverse. False where a pivot is not
  /// positive.
  private func factorDiagonal(
    _ target: UnsafeMutablePointer<Double>, inverse: UnsafeMutablePointer<Double>
  ) -> Bool {
    let (block, stride) = (Self.block, n)
    return withUnsafeTemporaryAllocation(of: Double.self, capacity: block * (block + 1)) { scratch in
      // Row j holds column j of R.
      let factor = scratch.baseAddress!
      let vector = factor + block * block
      for j in 0..<block {
        for i in 0...j { factor[j * block + i] = target[i * stride + j] }
      }
      for j in (0..<block).reversed() {
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
      for c in 0..<block {
        vector.update(repeating: 0, count: c)
        vector[c] = 1
        for m in (0...c).reversed() {
          let (column, x) = (factor + m * block, vector[m] / factor[m * block + m])
          inverse[c * block + m] = x
          for i in 0..<m { vector[i] -= x * column[i] }
        }
      }
      // Below the diagonal R is zero: blocks of it are read whole.
      for j in 0..<block {
        for i in 0..<block { target[i * stride + j] = i <= j ? factor[j * block + i] : 0 }
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
