import CBlocks

// A sub-block's errors e = t - v cost e M eᵀ with M = R D Rᵀ, R unit upper triangular with U as its inverse: the conditional
// metric of its columns, given that later columns make up for what they can. For groups (the columns of a codeword), one
// after the other, the cost is a sum: with x = e R_gg the group costs Σ D_j x_j², and moves later targets by -x U_g,later.

/// Metrics of sub-blocks of a codebook type: what all rows share of them.
final class CodebookMetric: @unchecked Sendable {
  let shape: CodebookShape
  let table: CodewordTable
  /// Columns of a sub-block, and of a group.
  let length: Int
  let dims: Int
  private let memory: UnsafeMutablePointer<Float>
  private let subBlockSize: Int

  /// Room for `subBlocks` sub-blocks, to be filled in.
  init(_ shape: CodebookShape, subBlocks: Int) {
    self.shape = shape
    table = shape.table
    (length, dims) = (shape.subBlock, table.dims)
    subBlockSize = length * (length + 18)
    // Vectors of eight are read where groups have four columns.
    memory = .allocate(capacity: subBlocks * subBlockSize + 8)
    memory.initialize(repeating: 0, count: subBlocks * subBlockSize + 8)
  }

  deinit { memory.deallocate() }

  /// Bytes of the metrics of so many columns.
  static func bytes(_ shape: CodebookShape, columns: Int) -> Int { 4 * columns * (shape.subBlock + 18) }

  /// U, [length][length].
  @inline(__always) func u(_ j: Int) -> UnsafePointer<Float> { UnsafePointer(memory + j * subBlockSize) }

  /// R_gg of group g, [dims][8].
  @inline(__always) func r(_ j: Int, _ g: Int) -> UnsafePointer<Float> { u(j) + length * length + g * dims * 8 }

  /// M_gg = R_gg D_g R_ggᵀ of group g, [dims][8].
  @inline(__always) func m(_ j: Int, _ g: Int) -> UnsafePointer<Float> { r(j, g) + 8 * length }

  /// D, [length].
  @inline(__always) func pivots(_ j: Int) -> UnsafePointer<Float> { u(j) + length * (length + 16) }

  /// The diagonals of all M_gg, [length].
  @inline(__always) func diagonal(_ j: Int) -> UnsafePointer<Float> { pivots(j) + length }

  /// Fills in sub-block j from its U, whose rows are `rowStride` apart, and its D.
  func set(_ j: Int, factor: UnsafePointer<Float>, rowStride: Int, pivots: UnsafePointer<Float>) {
    let base = memory + j * subBlockSize
    for row in 0..<length {
      for column in row..<length { base[row * length + column] = factor[row * rowStride + column] }
    }
    UnsafeMutablePointer(mutating: self.pivots(j)).update(from: pivots, count: length)
    for g in 0..<length / dims { setGroup(j, g) }
  }

  /// Fills in sub-block j for H itself: errors cost e H eᵀ.
  func set(_ j: Int, gram: UnsafePointer<Float>, rowStride: Int) {
    let n = length
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * n * n + n) { scratch in
      let (r, u) = (scratch.baseAddress!, scratch.baseAddress! + n * n)
      let d = u + n * n
      // Reverse Cholesky without square roots, column by column from the last.
      for column in (0..<n).reversed() {
        for row in (0...column).reversed() {
          var sum = Double(gram[row * rowStride + column])
          for k in column + 1..<max(n, column + 1) { sum -= r[row * n + k] * d[k] * r[column * n + k] }
          if row == column {
            // The damping of H keeps it positive.
            d[column] = max(sum, Double.leastNormalMagnitude)
            r[row * n + column] = 1
          } else {
            r[row * n + column] = sum / d[column]
          }
        }
      }
      for column in 0..<n {
        for row in (0...column).reversed() {
          var sum = row == column ? 1.0 : 0
          for k in row + 1..<max(row + 1, column + 1) { sum -= r[row * n + k] * u[k * n + column] }
          u[row * n + column] = sum
        }
      }
      let base = memory + j * subBlockSize
      for row in 0..<n {
        for column in row..<n { base[row * n + column] = Float(u[row * n + column]) }
        UnsafeMutablePointer(mutating: pivots(j))[row] = Float(d[row])
      }
    }
    for g in 0..<length / dims { setGroup(j, g) }
  }

  /// R_gg, M_gg and its diagonal from U and D.
  private func setGroup(_ j: Int, _ g: Int) {
    var r = InlineArray<64, Double>(repeating: 0)
    for column in 0..<dims {
      for row in (0...column).reversed() {
        var sum = row == column ? 1.0 : 0.0
        let line = u(j) + (g * dims + row) * length + g * dims
        for k in row + 1..<max(row + 1, column + 1) { sum -= Double(line[k]) * r[8 * k + column] }
        r[8 * row + column] = sum
      }
    }
    let d = pivots(j) + g * dims
    let (rows, metric) = (UnsafeMutablePointer(mutating: self.r(j, g)), UnsafeMutablePointer(mutating: m(j, g)))
    let diagonal = UnsafeMutablePointer(mutating: self.diagonal(j)) + g * dims
    for row in 0..<dims {
      for column in 0..<dims {
        rows[8 * row + column] = Float(r[8 * row + column])
        var sum = 0.0
        for k in max(row, column)..<dims { sum += r[8 * row + k] * Double(d[k]) * r[8 * column + k] }
        metric[8 * row + column] = Float(sum)
      }
      diagonal[row] = metric[8 * row + row]
    }
  }
}

/// (s m)ᵀ M_gg (s m) of all codewords m for the groups of a sub-block, summed up when a pattern of signs (or a shift) is
/// first asked for. One thread's memory, for one sub-block after the other.
final class CodewordSquares {
  private let table: CodewordTable
  private let memory: UnsafeMutablePointer<Float>
  private let isSet: UnsafeMutablePointer<Bool>
  private let count: Int

  init(_ shape: CodebookShape) {
    table = shape.table
    count = shape.subBlock / table.dims * table.patterns
    memory = .allocate(capacity: count * table.count)
    isSet = .allocate(capacity: count)
    isSet.initialize(repeating: false, count: count)
  }

  deinit {
    memory.deallocate()
    isSet.deallocate()
  }

  /// To be called before another sub-block.
  func clear() { isSet.update(repeating: false, count: count) }

  @inline(__always)
  func squares(_ g: Int, pattern: Int, _ metric: UnsafePointer<Float>) -> UnsafePointer<Float> {
    let index = g * table.patterns + pattern
    let squares = memory + index * table.count
    if !isSet[index] {
      isSet[index] = true
      fill(squares, pattern, metric)
    }
    return UnsafePointer(squares)
  }

  @inline(never)
  private func fill(_ squares: UnsafeMutablePointer<Float>, _ pattern: Int, _ metric: UnsafePointer<Float>) {
    var signs = InlineArray<8, Float>(repeating: 1)
    if !table.isShifted {
      for i in 0..<table.dims where pattern >> i & 1 == 1 { signs[i] = -1 }
    }
    let shift = !table.isShifted ? 0 : pattern == 0 ? Codebook.shiftIQ1 : -Codebook.shiftIQ1
    withUnsafePointer(to: &signs) {
      cv_quadratics(
        table.values, table.count, table.dims, metric, UnsafeRawPointer($0).assumingMemoryBound(to: Float.self), shift,
        squares)
    }
  }
}

extension CodebookShape {
  var table: CodewordTable {
    switch (codebook.dims, codebook.count) {
    case (4, 256): .iq3_xxs
    case (4, _): .iq3_s
    case (_, 256): .iq2_xxs
    case (_, 512): .iq2_xs
    case (_, 1024): .iq2_s
    default: .iq1
    }
  }
}
