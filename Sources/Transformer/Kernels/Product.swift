import Tensors

/// A weight matrix in the layout of a product engine.
struct WeightMatrix {
  let floats: FloatView
  let rows: Int
  let columns: Int

  init(_ floats: FloatView, rows: Int, columns: Int) {
    precondition(floats.count >= rows * columns, "\(floats.count) for \(rows) x \(columns)")
    self.floats = floats
    self.rows = rows
    self.columns = columns
  }
}

extension ProductEngine {
  /// Computes y [tokens, rows] (+)= x [tokens, columns] times the transpose of w [rows, columns].
  ///
  /// - Parameters:
  ///   - xStride: elements from one row of x to the next; default: `columns`.
  ///   - yStride: elements from one row of y to the next.
  /// - Throws: ``ForwardError/nonFinite(tensor:window:position:)`` with the first row that is not finite.
  func multiply(
    _ x: FloatView, tokens: Int, xStride: Int? = nil, by w: WeightMatrix, into y: FloatView, yStride: Int,
    accumulate: Bool = false, tensor: String
  ) throws {
    try y.withMutableSpan {
      try multiply(
        x, tokens: tokens, xStride: xStride, by: w, into: &$0, yStride: yStride, accumulate: accumulate, tensor: tensor)
    }
  }

  /// Computes the product into a span; `yStride` is `w.rows` by default.
  func multiply(
    _ x: FloatView, tokens: Int, xStride: Int? = nil, by w: WeightMatrix, into y: inout MutableSpan<Float>,
    yStride: Int? = nil, accumulate: Bool = false, tensor: String
  ) throws {
    let shape = ProductShape(tokens: tokens, columns: w.columns, rows: w.rows, xStride: xStride, yStride: yStride)
    do {
      try x.withSpan { x in
        try w.floats.withSpan { w in try multiply(x, by: w, into: &y, shape: shape, accumulate: accumulate) }
      }
    } catch let product as NonFiniteProduct {
      throw ForwardError.nonFinite(tensor: tensor, position: product.row)
    }
  }

  /// Computes y [tokens, outputs] = x [tokens, inputs] times the transpose of w [outputs, inputs] on the calling
  /// thread.
  func multiplyOnThread(
    _ x: FloatView, stride xStride: Int, by w: FloatView, into y: FloatView, stride yStride: Int, tokens: Int,
    inputs: Int,
    outputs: Int
  ) {
    let shape = ProductShape(tokens: tokens, columns: inputs, rows: outputs, xStride: xStride, yStride: yStride)
    x.withSpan { x in
      w.withSpan { w in
        y.withMutableSpan { multiplyOnThread(x, by: w, into: &$0, shape: shape) }
      }
    }
  }
}

/// The first row with an element that is infinite or NaN.
func nonFiniteRow(_ values: FloatView, rows: Int, columns: Int, stride: Int) -> Int? {
  withPointers(values) {
    precondition(rows == 0 || $0.count >= (rows - 1) * stride + columns, "\($0.count) for \(rows) x \(stride)")
    return firstNonFiniteRow($0.base, rows: rows, columns: columns, stride: stride)
  }
}

/// Whether all elements are finite.
func isFinite(_ values: FloatView, rows: Int, columns: Int) -> Bool {
  nonFiniteRow(values, rows: rows, columns: columns, stride: columns) == nil
}
