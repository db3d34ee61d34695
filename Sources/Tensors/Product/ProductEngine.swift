/// Multiplies matrices in single precision: the one way to a product, a Gram matrix or a factorisation.
///
/// There are two engines, ``PackedProduct`` and ``BLASProduct``; ``ProductEngines`` chooses. Results of an engine do not
/// depend on the number of threads. Those of two engines differ in the order of additions alone: by a few units in the
/// last place of the sum of the terms' magnitudes.
public protocol ProductEngine: Sendable {
  /// The name that ``ProductEngines/variable`` gives it.
  var name: String { get }
  /// The layout in which ``multiply(_:by:into:shape:accumulate:)`` takes weights.
  var layout: WeightLayout { get }
  /// Bytes that a thread works with during a product, beside the matrices.
  var threadBytes: Int { get }

  /// y [tokens, rows] (+)= x [tokens, columns] times the transpose of w [rows, columns], on all threads.
  ///
  /// - Parameters:
  ///   - w: at least ``WeightLayout/count(rows:columns:)`` elements in the engine's layout.
  ///   - accumulate: adds to y instead of replacing it.
  /// - Throws: ``NonFiniteProduct`` where a result is infinite or NaN.
  func multiply(
    _ x: Span<Float>, by w: Span<Float>, into y: inout MutableSpan<Float>, shape: ProductShape, accumulate: Bool
  ) throws

  /// The same with weights row after row, on the calling thread alone: a product inside of a parallel task. Results are
  /// not looked at.
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
  /// Elements between the beginnings of two rows of x.
  public let xStride: Int
  /// Elements between the beginnings of two rows of y.
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

  /// Stops where the matrices are shorter than the shape says.
  func check(x: Int, w: Int, weights: Int, y: Int) {
    precondition(
      columns > 0 && xStride >= columns && yStride >= rows && x >= (tokens - 1) * xStride + columns
        && y >= (tokens - 1) * yStride + rows && w >= weights,
      "x \(x)/\(xStride), w \(w) of \(weights), y \(y)/\(yStride) for [\(tokens), \(columns)] to \(rows)")
  }
}

/// How the rows of a weight matrix lie in memory.
public enum WeightLayout: Sendable, Equatable {
  /// Row after row.
  case rows
  /// [panel][column][16]: 16 rows side by side; those that the last panel lacks are zero.
  case panels

  /// Rows in a panel.
  public static let panelRows = 16

  /// Elements that `rows` rows take in either layout.
  public static func count(rows: Int, columns: Int) -> Int {
    (rows + panelRows - 1) / panelRows * panelRows * columns
  }
}

/// A product has a result that is infinite or NaN.
public struct NonFiniteProduct: Error, Equatable {
  /// The row of y.
  public let row: Int

  /// An error at a row of y.
  public init(row: Int) { self.row = row }
}
