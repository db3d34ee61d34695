/// The correction of weights for inputs that come from layers which are rounded already: with X the exact model's inputs and X'
/// those of the rounded one, rows of W become
///
///     W + share (W (X - X')ᵀX' + (S - S')ᵀX') (X'ᵀX')⁻¹
///
/// with S and S' the hidden states that the product is added to, if it is: a share of the least-squares correction of the losses
/// of earlier layers. The matrix is damped as a ``FeedbackMetric`` is.
public struct FeedbackCorrection: Sendable {
  /// The share of the least-squares correction: of 0, 1/2 and 1 the best for the demo model's drift.
  public static let share: Float = 0.5

  public let columns: Int
  /// The transpose of (X - X')ᵀX' (X'ᵀX')⁻¹, [columns, columns], in panels.
  private let matrix: [Float]
  /// (S - S')ᵀX' (X'ᵀX')⁻¹, [rows, columns]; empty without hidden states.
  private let offsets: [Float]

  /// Solves for the correction, on all threads; nil where the matrix can't be factored.
  ///
  /// - Parameters:
  ///   - gram: X'ᵀX', in one block.
  ///   - drift: (X - X')ᵀX', [columns, columns].
  ///   - residual: (S - S')ᵀX', [rows, columns].
  public init?(gram: GramMatrix, drift: CrossProduct, residual: CrossProduct?) throws {
    let columns = gram.columns
    precondition(gram.blockColumns == columns && drift.rows == columns && drift.columns == columns)
    self.columns = columns
    let mean = gram.diagonal.reduce(0.0) { $0 + Double($1) } / Double(columns)
    guard mean > 0, mean.isFinite else { return nil }
    // The matrix is alive until the factor is made.
    let source = gram.values.withUnsafeBufferPointer { GramSource(base: $0.baseAddress!) }
    let factor = try ReverseCholesky(columns) { row, values in
      for column in row..<columns { values[column] = Double(source.base[row * columns + column]) / mean }
      values[row] += FeedbackMetric.defaultDamping
    }
    guard try factor.factor() else { return nil }
    let solved = try factor.solved(drift, scale: 1 / mean)
    var panels = [Float](repeating: 0, count: WeightLayout.count(rows: columns, columns: columns))
    var span = panels.mutableSpan
    PackedProduct.pack(solved.span, rows: columns, columns: columns, into: &span)
    matrix = panels
    offsets =
      try residual.map { residual in
        let solved = try factor.solved(residual, scale: 1 / mean)
        // [columns, rows] to [rows, columns]
        var offsets = [Float](repeating: 0, count: solved.count)
        for column in 0..<columns {
          for row in 0..<residual.rows { offsets[row * columns + column] = solved[column * residual.rows + row] }
        }
        return offsets
      } ?? []
  }

  /// Corrects rows [rows, columns] of the weights, of which the first is row `first` of the matrix.
  public func apply(to rows: inout [Float], first: Int) throws {
    let count = rows.count / columns
    var change = [Float](repeating: 0, count: rows.count)
    var span = change.mutableSpan
    // A row's bits must not depend on how many come together.
    try PackedProduct().multiply(
      rows.span, by: matrix.span, into: &span, shape: ProductShape(tokens: count, columns: columns, rows: columns),
      accumulate: false)
    for index in rows.indices {
      let offset = offsets.isEmpty ? 0 : offsets[first * columns + index]
      rows[index] += Self.share * (change[index] + offset)
    }
  }
}

/// A Gram matrix that threads read at once.
private struct GramSource: @unchecked Sendable {
  let base: UnsafePointer<Float>
}
