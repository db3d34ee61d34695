import CBlocks

// A sub-block's errors e = t - v cost e M eᵀ with M = R D Rᵀ, R unit upper triangular with U as its inverse: the conditional
// metric of its columns, given that later columns make up for what they can. For groups (the columns of a codeword), one
// after the other, the cost is a sum: with x = e R_gg the group costs Σ D_j x_j², and moves later targets by -x U_g,later.

/// The metric of one sub-block.
struct CodebookSubBlock {
  /// Columns of the sub-block, and of a group.
  let length: Int
  let dims: Int
  /// U, [length][length].
  let u: UnsafePointer<Float>

  /// R_gg of group g, [dims][8].
  @inline(__always) func r(_ g: Int) -> UnsafePointer<Float> { u + length * length + g * dims * 8 }

  /// M_gg = R_gg D_g R_ggᵀ of group g, [dims][8].
  @inline(__always) func m(_ g: Int) -> UnsafePointer<Float> { r(g) + 8 * length }

  /// D, [length].
  @inline(__always) var pivots: UnsafePointer<Float> { u + length * (length + 16) }

  /// The diagonals of all M_gg, [length].
  @inline(__always) var diagonal: UnsafePointer<Float> { pivots + length }

  static func size(_ length: Int) -> Int { length * (length + 18) }
}

/// Metrics of sub-blocks of a codebook type: what all rows share of them.
final class CodebookMetric: @unchecked Sendable {
  private let length: Int
  private let dims: Int
  private let memory: UnsafeMutablePointer<Float>

  /// Room for `subBlocks` sub-blocks, to be filled in.
  init(_ shape: CodebookShape, subBlocks: Int) {
    (length, dims) = (shape.subBlock, shape.codebook.dims)
    // Vectors of eight are read where groups have four columns.
    let count = subBlocks * CodebookSubBlock.size(length) + 8
    memory = .allocate(capacity: count)
    memory.initialize(repeating: 0, count: count)
  }

  deinit { memory.deallocate() }

  /// Bytes of the metrics of so many columns.
  static func bytes(_ shape: CodebookShape, columns: Int) -> Int {
    columns / shape.subBlock * CodebookSubBlock.size(shape.subBlock) * 4
  }

  @inline(__always) subscript(j: Int) -> CodebookSubBlock {
    CodebookSubBlock(
      length: length, dims: dims, u: UnsafePointer(memory + j * CodebookSubBlock.size(length)))
  }

  /// Fills in sub-block j from its U, whose rows are `rowStride` apart, and its D.
  func set(_ j: Int, factor: UnsafePointer<Float>, rowStride: Int, pivots: UnsafePointer<Float>) {
    let base = memory + j * CodebookSubBlock.size(length)
    for row in 0..<length {
      for column in row..<length { base[row * length + column] = factor[row * rowStride + column] }
    }
    UnsafeMutablePointer(mutating: self[j].pivots).update(from: pivots, count: length)
    for g in 0..<length / dims { setGroup(self[j], g) }
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
      let base = memory + j * CodebookSubBlock.size(length)
      for row in 0..<n {
        for column in row..<n { base[row * n + column] = Float(u[row * n + column]) }
        UnsafeMutablePointer(mutating: self[j].pivots)[row] = Float(d[row])
      }
    }
    for g in 0..<length / dims { setGroup(self[j], g) }
  }

  /// R_gg, M_gg and its diagonal from U and D.
  private func setGroup(_ block: CodebookSubBlock, _ g: Int) {
    var r = InlineArray<64, Double>(repeating: 0)
    for column in 0..<dims {
      for row in (0...column).reversed() {
        var sum = row == column ? 1.0 : 0.0
        let line = block.u + (g * dims + row) * length + g * dims
        for k in row + 1..<max(row + 1, column + 1) { sum -= Double(line[k]) * r[8 * k + column] }
        r[8 * row + column] = sum
      }
    }
    let d = block.pivots + g * dims
    let (rows, metric) = (UnsafeMutablePointer(mutating: block.r(g)), UnsafeMutablePointer(mutating: block.m(g)))
    let diagonal = UnsafeMutablePointer(mutating: block.diagonal) + g * dims
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
