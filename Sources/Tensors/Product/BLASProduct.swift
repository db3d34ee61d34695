import CVectors

/// Products by the platform's BLAS: OpenBLAS on Linux, Accelerate on macOS, which uses matrix units that are several
/// times faster than vector code.
///
/// The library runs on one thread. A product is cut into tiles of a fixed size, one per task, so that results do not
/// depend on the number of threads. Their last bits may depend on the number of tokens: the library adds in another
/// order at the edge of a matrix than in its middle.
struct BLASProduct: ProductEngine {
  private static let tokenTile = 512
  private static let rowTile = 512

  let name = "blas"
  let layout = WeightLayout.rows
  /// OpenBLAS packs parts of both matrices in a buffer of 32 MiB per thread, of which a tile uses this much.
  let threadBytes = 8 << 20

  func multiply(
    _ x: Span<Float>, by w: Span<Float>, into y: inout MutableSpan<Float>, shape: ProductShape, accumulate: Bool
  ) throws {
    guard !shape.isEmpty else { return }
    shape.check(x: x.count, w: w.count, weights: shape.rows * shape.columns, y: y.count)
    let down = (shape.tokens + Self.tokenTile - 1) / Self.tokenTile
    let across = (shape.rows + Self.rowTile - 1) / Self.rowTile
    try withOperands(x, w, &y, shape) { operands in
      try parallelRanges(across * down, grain: 1) { index, _ in
        let token = index % down * Self.tokenTile
        let row = index / down * Self.rowTile
        let tile = operands.tile(
          tokens: token..<min(shape.tokens, token + Self.tokenTile), rows: row..<min(shape.rows, row + Self.rowTile))
        tile.multiply(accumulate: accumulate)
        if let bad = firstNonFiniteRow(
          tile.y, rows: tile.shape.tokens, columns: tile.shape.rows, stride: tile.shape.yStride)
        {
          throw NonFiniteProduct(row: token + bad)
        }
      }
    }
  }

  func multiplyOnThread(
    _ x: Span<Float>, by w: Span<Float>, into y: inout MutableSpan<Float>, shape: ProductShape
  ) {
    guard !shape.isEmpty else { return }
    shape.check(x: x.count, w: w.count, weights: shape.rows * shape.columns, y: y.count)
    withOperands(x, w, &y, shape) { $0.multiply(accumulate: false) }
  }

  private func withOperands<R>(
    _ x: Span<Float>, _ w: Span<Float>, _ y: inout MutableSpan<Float>, _ shape: ProductShape,
    _ body: (Operands) throws -> R
  ) rethrows -> R {
    try x.withUnsafeBufferPointer { x in
      try w.withUnsafeBufferPointer { w in
        try y.withUnsafeMutableBufferPointer { y in
          try body(Operands(x: x.baseAddress!, w: w.baseAddress!, y: y.baseAddress!, shape: shape))
        }
      }
    }
  }

  /// The matrices of a product or of a tile. Every task writes its own tile.
  private struct Operands: @unchecked Sendable {
    let x: UnsafePointer<Float>
    let w: UnsafePointer<Float>
    let y: UnsafeMutablePointer<Float>
    let shape: ProductShape

    func tile(tokens: Range<Int>, rows: Range<Int>) -> Operands {
      Operands(
        x: x + tokens.lowerBound * shape.xStride, w: w + rows.lowerBound * shape.columns,
        y: y + tokens.lowerBound * shape.yStride + rows.lowerBound,
        shape: ProductShape(
          tokens: tokens.count, columns: shape.columns, rows: rows.count, xStride: shape.xStride,
          yStride: shape.yStride))
    }

    func multiply(accumulate: Bool) { BLAS.multiply(x, by: w, into: y, shape: shape, accumulate: accumulate) }
  }
}
