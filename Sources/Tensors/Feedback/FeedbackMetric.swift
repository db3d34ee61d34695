/// The metric in which the error of a matrix's row is counted, eᵀHe with H the Gram matrix of the matrix's inputs, and its
/// factor: with both, the rounding error of a weight is fed into the weights that are not rounded yet.
///
///     let metric = try FeedbackMetric(gram: gram.span, columns: 4096)
///     try encodeRows(rows.span, columns: 4096, metric: metric, importance: nil, as: .q4_K, effort: .scales, into: &bytes)
///
/// H is divided by the mean of its diagonal and damped. U is the unit upper triangular matrix with Uᵀ D⁻¹ U = H⁻¹ for a
/// diagonal matrix D of ``pivots`` (from the factor R in H = R Rᵀ: the rows of R⁻¹, divided by their diagonal). Columns are
/// processed in the order of U's rows: with the error e_j = t_j - v_j of column j's target and its rounded value, every later
/// target t_k loses e_j U_jk, and the error of the row is Σ D_j e_j².
///
/// Columns are processed in panels of ``panelColumns`` (``order``). Within a panel, groups of 32 columns come in descending
/// order of their part of H's diagonal, groups of 16 within these, groups of 8 within those: early errors find many columns
/// to go to.
///
/// If the whole matrix does not fit in memory, H is cut into diagonal blocks: elements outside of them count as zero.
///
/// Holds 6 bytes for every pair of columns of a block; building it takes 8 more (``bytes(columns:blockColumns:)``,
/// ``peakBytes(columns:blockColumns:)``) and 2/3 columns³ multiplications a block.
public struct FeedbackMetric: Sendable {
  /// Columns that are encoded in place before their errors are fed into later columns. Diagonal blocks are multiples of it.
  public static let panelColumns = 256
  /// The share of the mean of the diagonal that is added to the diagonal: that of GPTQ.
  public static let defaultDamping = 0.01

  /// Columns of the matrix.
  public let columns: Int
  /// Columns of a diagonal block; `columns` where H is whole. The last block may be narrower.
  public let blockColumns: Int
  /// The share of the mean of the diagonal that was added to the diagonal: of several blocks the largest. It is larger than
  /// asked for where a block was not positive definite otherwise.
  public let damping: Double
  /// The mean of the diagonal before damping, by which H was divided.
  public let meanDiagonal: Double

  /// The column that is processed at each position. The eight columns of a group that begins at a multiple of 8 stay in
  /// their order; the groups of a 16, of a 32, and so on up to ``groupColumns``, stay together.
  package let order: [Int32]
  /// The widest groups of columns that stay together: 32, 64 or 128.
  public let groupColumns: Int
  package let storage: FeedbackStorage

  /// Factors H, on all threads.
  ///
  /// - Parameters:
  ///   - gram: `columns` by `columns`, row-major and symmetric: the sum or mean of x xᵀ over inputs x. The upper triangle
  ///     is read. Columns whose diagonal is zero are kept, by the damping alone.
  ///   - blockColumns: columns of a diagonal block, a multiple of ``panelColumns``; nil: all.
  ///   - groupColumns: ``groupColumns``
  ///   - damping: the share of the mean of the diagonal that is added to the diagonal.
  /// - Throws: ``FeedbackMetricError``
  public init(
    gram: Span<Float>, columns: Int, blockColumns: Int? = nil, groupColumns: Int = 32,
    damping: Double = defaultDamping
  ) throws {
    precondition(gram.count == columns * columns, "\(gram.count) entries for \(columns) columns")
    try self.init(gram, columns, blockColumns, groupColumns, damping) { block, row in
      (block.start + row) * columns + block.start
    }
  }

  /// Factors H of which only the diagonal blocks were collected.
  ///
  /// - Parameter diagonalBlocks: the blocks one after the other, each row-major with its width squared entries.
  /// - Throws: ``FeedbackMetricError``
  public init(
    diagonalBlocks: Span<Float>, columns: Int, blockColumns: Int, groupColumns: Int = 32,
    damping: Double = defaultDamping
  ) throws {
    let blocks = FeedbackBlock.all(columns: columns, blockColumns: blockColumns)
    precondition(
      diagonalBlocks.count == blocks.reduce(0) { $0 + $1.width * $1.width },
      "\(diagonalBlocks.count) entries for \(columns) columns by \(blockColumns)")
    try self.init(diagonalBlocks, columns, blockColumns, groupColumns, damping) { block, row in
      block.start * blockColumns + row * block.width
    }
  }

  /// - Parameter offset: the index in `gram` of a block's row.
  private init(
    _ gram: Span<Float>, _ columns: Int, _ blockColumns: Int?, _ groupColumns: Int, _ damping: Double,
    offset: @escaping @Sendable (FeedbackBlock, Int) -> Int
  ) throws {
    let blockColumns = min(columns, blockColumns ?? columns)
    precondition(
      columns > 0 && (blockColumns == columns || blockColumns % Self.panelColumns == 0) && damping >= 0,
      "\(columns) columns in blocks of \(blockColumns), damped by \(damping)")
    let source = gram.withUnsafeBufferPointer { FeedbackSource(base: $0.baseAddress!) }
    let blocks = FeedbackBlock.all(columns: columns, blockColumns: blockColumns)
    var sum = 0.0
    for block in blocks {
      for row in 0..<block.width {
        let values = source.base + offset(block, row)
        for column in row..<block.width where !values[column].isFinite {
          throw FeedbackMetricError.nonFinite(row: block.start + row, column: block.start + column)
        }
        guard values[row] >= 0 else { throw FeedbackMetricError.negativeDiagonal(column: block.start + row) }
        sum += Double(values[row])
      }
    }
    guard sum > 0 else { throw FeedbackMetricError.empty }
    let mean = sum / Double(columns)
    let storage = FeedbackStorage(columns: columns, blocks: blocks)
    let order = blocks.flatMap { block in
      let diagonal = (0..<block.width).map { source.base[offset(block, $0) + $0] }
      return feedbackOrder(of: diagonal, panel: Self.panelColumns, widest: groupColumns).map { Int32($0 + block.start) }
    }
    // H of a block in the order of processing.
    @Sendable func value(_ block: FeedbackBlock, _ row: Int, _ column: Int) -> Double {
      let (i, j) = (Int(order[block.start + row]) - block.start, Int(order[block.start + column]) - block.start)
      return Double(source.base[offset(block, min(i, j)) + max(i, j)]) / mean
    }
    var largest = damping
    for block in blocks {
      var applied = damping
      while true {
        let share = applied
        let factor = try ReverseCholesky(block.width) { row, values in
          for column in row..<block.width { values[column] = value(block, row, column) }
          values[row] += share
        }
        if try factor.factor() {
          try storage.store(factor, of: block)
          try storage.storeGram(of: block) { row, column in
            Float(value(block, row, column) + (row == column ? share : 0))
          }
          break
        }
        // A Gram matrix is positive semidefinite up to rounding: damping makes up for that much and for dead columns.
        guard applied < 1 else {
          throw FeedbackMetricError.indefinite(columns: block.start..<block.start + block.width)
        }
        applied = max(applied * 10, Self.defaultDamping)
        largest = max(largest, applied)
      }
    }
    self.order = order
    self.groupColumns = groupColumns
    self.columns = columns
    self.blockColumns = blockColumns
    self.damping = largest
    meanDiagonal = mean
    self.storage = storage
  }
}

/// Reasons why a Gram matrix gives no metric.
public enum FeedbackMetricError: Error, Equatable, Sendable {
  /// An entry is NaN or infinite.
  case nonFinite(row: Int, column: Int)
  /// A sum of squares is negative.
  case negativeDiagonal(column: Int)
  /// The diagonal is zero: no input was seen, or only zeros.
  case empty
  /// The matrix is not positive semidefinite, by more than rounding explains.
  case indefinite(columns: Range<Int>)
}

/// Positions of columns by descending diagonal: groups of `widest` columns within a panel, of half as many within these, and
/// so on to 8. Ties, and columns that do not fill a group, keep their order.
func feedbackOrder(of diagonal: [Float], panel: Int, widest: Int = 32) -> [Int] {
  func sorted(_ range: Range<Int>, by widths: ArraySlice<Int>) -> [Int] {
    guard let width = widths.first else { return Array(range) }
    let whole = range.lowerBound + range.count / width * width
    let groups = stride(from: range.lowerBound, to: whole, by: width).map { start in
      (start: start, energy: diagonal[start..<start + width].reduce(0.0) { $0 + Double($1) })
    }
    let descending = groups.sorted { ($1.energy, $0.start) < ($0.energy, $1.start) }
    return descending.flatMap { sorted($0.start..<$0.start + width, by: widths.dropFirst()) }
      + Array(whole..<range.upperBound)
  }
  return stride(from: 0, to: diagonal.count, by: panel).flatMap {
    sorted($0..<min($0 + panel, diagonal.count), by: [128, 64, 32, 16, 8].filter { $0 <= widest }[...])
  }
}

/// The caller's Gram matrix, which threads read at once while it lives.
private struct FeedbackSource: @unchecked Sendable {
  let base: UnsafePointer<Float>
}
