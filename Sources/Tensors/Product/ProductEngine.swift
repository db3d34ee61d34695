/// Multiplies matrices in single precision. Every product in the package goes through an engine.
///
/// ``ProductEngines`` chooses between ``PackedProduct`` and the platform's BLAS. Results of an engine do not depend on
/// the number of threads. Two engines differ only in the order of additions: by a few units in the last place of the
/// sum of the terms' magnitudes.
public protocol ProductEngine: Sendable {
  /// The engine's name as a value of ``ProductEngines/variable``.
  var name: String { get }
  /// The layout in which ``multiply(_:by:into:shape:accumulate:)`` takes weights.
  var layout: WeightLayout { get }
  /// Bytes that each thread needs during a product, in addition to the matrices.
  var threadBytes: Int { get }

  /// Computes y [tokens, rows] (+)= x [tokens, columns] times the transpose of w [rows, columns], on all threads.
  ///
  /// - Parameters:
  ///   - w: at least ``WeightLayout/count(rows:columns:)`` elements in the engine's layout.
  ///   - accumulate: adds to y instead of replacing it.
  /// - Throws: ``NonFiniteProduct`` where a result is infinite or NaN.
  func multiply(
    _ x: Span<Float>, by w: Span<Float>, into y: inout MutableSpan<Float>, shape: ProductShape, accumulate: Bool
  ) throws

  /// Computes the product on the calling thread, for use inside of a parallel task. The weights are in layout
  /// ``WeightLayout/rows``; results are not checked.
  func multiplyOnThread(
    _ x: Span<Float>, by w: Span<Float>, into y: inout MutableSpan<Float>, shape: ProductShape)
}

/// The shape of y [tokens, rows] = x [tokens, columns] times the transpose of w [rows, columns].
public struct ProductShape: Sendable, Equatable {
  /// Rows of x and of y.
  public let tokens: Int
  /// Columns of x and of w: terms of every sum.
  public let columns: Int
  /// Rows of w: columns of y.
  public let rows: Int
  /// Elements from the start of a row of x to that of the next.
  public let xStride: Int
  /// Elements from the start of a row of y to that of the next.
  public let yStride: Int

  /// - Parameters:
  ///   - xStride: default: `columns`.
  ///   - yStride: default: `rows`.
  public init(tokens: Int, columns: Int, rows: Int, xStride: Int? = nil, yStride: Int? = nil) {
    self.tokens = tokens
    self.columns = columns
    self.rows = rows
    self.xStride = xStride ?? columns
    self.yStride = yStride ?? rows
  }

  var isEmpty: Bool { tokens <= 0 || rows <= 0 }

  /// Traps where a matrix has fewer elements than the shape needs.
  func check(x: Int, w: Int, weights: Int, y: Int) {
    precondition(
      columns > 0 && xStride >= columns && yStride >= rows && x >= (tokens - 1) * xStride + columns
        && y >= (tokens - 1) * yStride + rows && w >= weights,
      "x \(x)/\(xStride), w \(w) of \(weights), y \(y)/\(yStride) for [\(tokens), \(columns)] to \(rows)")
  }
}

/// The order of a weight matrix's elements in memory.
public enum WeightLayout: Sendable, Equatable {
  /// Row after row.
  case rows
  /// [panel][column][16]: 16 rows side by side. Missing rows of the last panel are zero.
  case panels

  /// Rows in a panel.
  public static let panelRows = 16

  /// Elements that either layout needs at most.
  public static func count(rows: Int, columns: Int) -> Int {
    (rows + panelRows - 1) / panelRows * panelRows * columns
  }
}

/// An infinite or NaN result of a product.
public struct NonFiniteProduct: Error, Equatable {
  /// The row of y that has it.
  public let row: Int

  package init(row: Int) { self.row = row }
}
