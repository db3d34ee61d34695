import CVectors
import Tensors

/// Tiles of a matrix product. They are fixed, and each is one call of the (single-threaded) matrix library, so that the
/// result is the same for every number of threads.
private let tokenTile = 512
private let rowTile = 256

/// y [tokens, rows] (+)= x [tokens, columns] times the transpose of w [rows, columns].
///
/// Rows of y lie `yStride` elements apart, those of x `xStride` (default: `columns`). Throws ``ForwardError/nonFinite(tensor:)`` where the result is no number.
func product(
  _ x: Floats, tokens: Int, columns: Int, xStride: Int? = nil, by w: Floats, rows: Int, into y: Floats, yStride: Int,
  accumulate: Bool = false, tensor: String
) throws {
  guard tokens > 0, rows > 0 else { return }
  let xStride = xStride ?? columns
  let across = (rows + rowTile - 1) / rowTile
  let down = (tokens + tokenTile - 1) / tokenTile
  try parallelRanges(across * down, grain: 1) { index, _ in
    let token = index / across * tokenTile
    let row = index % across * rowTile
    let tokenCount = min(tokenTile, tokens - token)
    let rowCount = min(rowTile, rows - row)
    let tile = y.from(token * yStride + row)
    x.from(token * xStride).withSpan { x in
      w.from(row * columns).withSpan { w in
        tile.withMutableSpan { y in
          multiplySlices(
            x, xStride: xStride, by: w, wStride: columns, into: &y, yStride: yStride, tokens: tokenCount,
            inputs: columns, outputs: rowCount, accumulate: accumulate)
        }
      }
    }
    guard isFinite(tile, rows: tokenCount, columns: rowCount, stride: yStride) else {
      throw ForwardError.nonFinite(tensor: tensor)
    }
  }
}

/// Whether a slice holds numbers only: 0 times a number is 0, 0 times anything else is NaN.
func isFinite(_ values: Floats, rows: Int, columns: Int, stride: Int) -> Bool {
  var sum = SIMD8<Float>.zero
  var rest: Float = 0
  for row in 0..<rows {
    let start = values.base + row * stride
    var column = 0
    while column + 8 <= columns {
      sum += cv_load(start + column) * 0
      column += 8
    }
    while column < columns {
      rest += start[column] * 0
      column += 1
    }
  }
  return cv_sum(sum) + rest == 0
}
