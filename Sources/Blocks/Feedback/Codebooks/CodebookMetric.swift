import CBlocks

// A sub-block's errors e cost e M e' with M = R R', R upper triangular with U as its inverse: the conditional metric of its
// columns, given that those of later columns make up for what they can. For groups (codewords), one after the other, the
// cost is a sum: group g costs |y|² with y = e R_gg, and then moves the targets of later columns by -y U_g,later.

/// Metrics of some sub-blocks and what the search of codewords in them needs: tables that all rows share.
final class CodebookMetric: @unchecked Sendable {
  let shape: CodebookShape
  let table: CodewordTable
  let subBlocks: Int
  /// Columns of a sub-block, and of a group.
  let length: Int
  let dims: Int
  private let memory: UnsafeMutablePointer<Float>
  private let subBlockSize: Int

  /// Room for `subBlocks` sub-blocks, to be filled by ``set(_:factor:rowStride:)``.
  init(_ shape: CodebookShape, subBlocks: Int) {
    self.shape = shape
    self.subBlocks = subBlocks
    table = shape.table
    (length, dims) = (shape.subBlock, table.dims)
    subBlockSize = length * length + 2 * 8 * length + length / dims * table.patterns * table.count
    memory = .allocate(capacity: subBlocks * subBlockSize)
    memory.initialize(repeating: 0, count: subBlocks * subBlockSize)
  }

  deinit { memory.deallocate() }

  /// Bytes of the tables.
  static func bytes(_ shape: CodebookShape, subBlocks: Int) -> Int {
    let table = shape.table
    let length = shape.subBlock
    return 4 * subBlocks * (length * length + 16 * length + length / table.dims * table.patterns * table.count)
  }

  /// U, [length][length], upper triangular.
  @inline(__always) func u(_ j: Int) -> UnsafePointer<Float> { UnsafePointer(memory + j * subBlockSize) }

  /// R_gg of group g, [dims][8].
  @inline(__always) func r(_ j: Int, _ g: Int) -> UnsafePointer<Float> {
    u(j) + length * length + g * dims * 8
  }

  /// M_gg = R_gg R_gg' of group g, [dims][8].
  @inline(__always) func m(_ j: Int, _ g: Int) -> UnsafePointer<Float> {
    u(j) + length * length + 8 * length + g * dims * 8
  }

  /// (s m)' M_gg (s m) of all codewords m under one pattern of signs or with one shift: [count].
  @inline(__always) func q(_ j: Int, _ g: Int, pattern: Int) -> UnsafePointer<Float> {
    u(j) + length * (length + 16) + (g * table.patterns + pattern) * table.count
  }

  /// Fills in sub-block j. `factor` is its U: rows `rowStride` apart, upper triangular, of positive diagonal.
  func set(_ j: Int, factor: UnsafePointer<Float>, rowStride: Int) {
    let base = memory + j * subBlockSize
    for row in 0..<length {
      for column in 0..<length { base[row * length + column] = column < row ? 0 : factor[row * rowStride + column] }
    }
    for g in 0..<length / dims { setGroup(j, g) }
  }

  private func setGroup(_ j: Int, _ g: Int) {
    let base = memory + j * subBlockSize
    var r = InlineArray<64, Double>(repeating: 0)
    for column in 0..<dims {
      for row in stride(from: column, through: 0, by: -1) {
        var sum = row == column ? 1.0 : 0.0
        let line = base + (g * dims + row) * length + g * dims
        for k in row + 1..<max(row + 1, column + 1) { sum -= Double(line[k]) * r[8 * k + column] }
        r[8 * row + column] = sum / Double(line[row])
      }
    }
    let (rows, metric) = (UnsafeMutablePointer(mutating: self.r(j, g)), UnsafeMutablePointer(mutating: m(j, g)))
    for row in 0..<dims {
      for column in 0..<dims {
        rows[8 * row + column] = Float(r[8 * row + column])
        var sum = 0.0
        for k in max(row, column)..<dims { sum += r[8 * row + k] * r[8 * column + k] }
        metric[8 * row + column] = Float(sum)
      }
    }
    for pattern in 0..<table.patterns {
      var signs = InlineArray<8, Float>(repeating: 1)
      if !table.isShifted {
        for i in 0..<dims where pattern >> i & 1 == 1 { signs[i] = -1 }
      }
      let shift = !table.isShifted ? 0 : pattern == 0 ? Codebook.shiftIQ1 : -Codebook.shiftIQ1
      withUnsafePointer(to: &signs) {
        cv_quadratics(
          table.values, table.count, dims, metric, UnsafeRawPointer($0).assumingMemoryBound(to: Float.self), shift,
          UnsafeMutablePointer(mutating: q(j, g, pattern: pattern)))
      }
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
