import CVectors
import Tensors

/// Rows of weights in panels of 16, [panel][column][16], as the product wants them. Missing rows of the last are zero.
struct PackedMatrix {
  static let panel = 16

  /// Elements that `rows` rows take.
  static func count(rows: Int, columns: Int) -> Int { (rows + panel - 1) / panel * panel * columns }

  let panels: Floats
  let rows: Int
  let columns: Int

  init(panels: Floats, rows: Int, columns: Int) {
    precondition(panels.count >= Self.count(rows: rows, columns: columns), "\(panels.count) for \(rows) x \(columns)")
    self.panels = panels
    self.rows = rows
    self.columns = columns
  }

  /// Packs `source` [rows, columns].
  static func pack(_ source: Floats, rows: Int, columns: Int, into target: Floats) {
    for row in stride(from: 0, to: rows, by: panel) {
      cv_pack16(
        source.base + row * columns, columns, min(panel, rows - row), columns, target.base + row * columns)
    }
  }
}

/// Columns that are summed before the sum joins the result: part of every product's definition, since it orders the
/// additions. A panel of so many comes out of the second cache for every tile, which costs less (5 %) than a panel that
/// fits in the first and results that are added to three times as often.
private let depth = 1024
/// Tokens in work at once, at most.
private let tokenTile = 480
/// Tokens of a tile of the kernel.
private let tokenPanel = 6
/// Rows of weights in a task at most, and at least.
private let rowTiles = 128...4096

/// What a thread packs while it multiplies.
let productBytes = 4 * (tokenTile * depth + 2 + tokenPanel * 2 * PackedMatrix.panel)

/// y [tokens, rows] (+)= x [tokens, columns] times the transpose of w [rows, columns].
///
/// Rows of y lie `yStride` elements apart, those of x `xStride` (default: `columns`). An element's bits depend on its
/// own row and column alone: not on threads, nor on how the work is cut. Throws
/// ``ForwardError/nonFinite(tensor:window:position:)`` with the first row where the result is no number.
///
/// On the machine of the benchmarks this is 10 to 15 % faster than OpenBLAS, which packs weights for every call.
func product(
  _ x: Floats, tokens: Int, xStride: Int? = nil, by w: PackedMatrix, into y: Floats, yStride: Int,
  accumulate: Bool = false, tensor: String
) throws {
  guard tokens > 0, w.rows > 0 else { return }
  let xStride = xStride ?? w.columns
  precondition(
    x.count >= (tokens - 1) * xStride + w.columns && y.count >= (tokens - 1) * yStride + w.rows,
    "x \(x.count)/\(xStride), y \(y.count)/\(yStride) for [\(tokens), \(w.columns)] to \(w.rows)")
  let down = (tokens + tokenTile - 1) / tokenTile
  let height = ((tokens + down - 1) / down + tokenPanel - 1) / tokenPanel * tokenPanel
  // Large enough that packing the tokens pays, small enough that every thread has work.
  let wanted = w.rows * down / (4 * Threads.count)
  let rowTile = min(rowTiles.upperBound, max(rowTiles.lowerBound, wanted)) / 32 * 32
  let across = (w.rows + rowTile - 1) / rowTile
  try parallelRanges(across * down, grain: 1) { index, _ in
    let token = index % down * height
    let row = index / down * rowTile
    let task = ProductTask(
      x: x.from(token * xStride), tokens: min(height, tokens - token), xStride: xStride, w: w,
      rows: row..<min(w.rows, row + rowTile), y: y.from(token * yStride), yStride: yStride)
    if !task.run(accumulate: accumulate),
      let bad = nonFiniteRow(task.y.from(row), rows: task.tokens, columns: task.rows.count, stride: yStride)
    {
      throw ForwardError.nonFinite(tensor: tensor, position: token + bad)
    }
  }
}

/// A part of a product that one thread computes.
private struct ProductTask {
  let x: Floats
  let tokens: Int
  let xStride: Int
  let w: PackedMatrix
  let rows: Range<Int>
  let y: Floats
  let yStride: Int

  /// Returns whether the result is numbers for sure.
  func run(accumulate: Bool) -> Bool {
    let packed = FloatBuffer(count: (tokens + tokenPanel - 1) / tokenPanel * tokenPanel * depth + 2)
    let edge = FloatBuffer(count: tokenPanel * 2 * PackedMatrix.panel)
    let guards = FloatBuffer(count: 8)
    defer { extendLifetime((packed, edge, guards)) }
    edge.floats.base.update(repeating: 0, count: edge.count)
    guards.floats.base.update(repeating: 0, count: guards.count)
    let isWide = cv_has_wide_tiles() != 0
    for start in stride(from: 0, to: w.columns, by: depth) {
      let k = min(depth, w.columns - start)
      pack(columns: start, k, into: packed.floats.base)
      let adds: Int32 = accumulate || start > 0 ? 1 : 0
      let watch = start + k == w.columns ? guards.floats.base : nil
      var row = rows.lowerBound
      while row < rows.upperBound {
        let panel = w.panels.base + row * w.columns + start * PackedMatrix.panel
        let width = isWide && row + 32 <= rows.upperBound ? 32 : 16
        for token in stride(from: 0, to: tokens, by: tokenPanel) {
          let a = packed.floats.base + token * k
          let target = y.base + token * yStride + row
          if token + tokenPanel <= tokens && row + width <= rows.upperBound {
            tile(width, k, a, panel, target, yStride, adds, watch)
          } else {
            // What does not fill a tile goes through one that lies elsewhere.
            let (height, across) = (min(tokenPanel, tokens - token), min(width, rows.upperBound - row))
            let side = Floats(base: edge.floats.base, count: edge.count)
            if adds != 0 {
              let source = Floats(base: target, count: (height - 1) * yStride + across)
              copyRows(from: source, stride: yStride, to: side, stride: 32, rows: height, columns: across)
            }
            tile(width, k, a, panel, edge.floats.base, 32, adds, watch)
            let sink = Floats(base: target, count: (height - 1) * yStride + across)
            copyRows(from: side, stride: 32, to: sink, stride: yStride, rows: height, columns: across)
          }
        }
        row += width
      }
    }
    return cv_sum(cv_load(guards.floats.base)) == 0
  }

  private func tile(
    _ width: Int, _ k: Int, _ a: UnsafePointer<Float>, _ panel: UnsafePointer<Float>,
    _ target: UnsafeMutablePointer<Float>, _ stride: Int, _ adds: Int32, _ watch: UnsafeMutablePointer<Float>?
  ) {
    if width == 32 {
      cv_tile32(k, a, panel, PackedMatrix.panel * w.columns, target, stride, adds, watch)
    } else {
      cv_tile16(k, a, panel, target, stride, adds, watch)
    }
  }

  private func pack(columns start: Int, _ k: Int, into out: UnsafeMutablePointer<Float>) {
    for token in stride(from: 0, to: tokens, by: tokenPanel) {
      let source = x.base + token * xStride + start
      let count = min(tokenPanel, tokens - token)
      if count == tokenPanel {
        cv_pack6_whole(source, xStride, k, out + token * k)
      } else {
        cv_pack6(source, xStride, count, k, out + token * k)
      }
    }
  }
}

/// The first row that holds something else than numbers.
func nonFiniteRow(_ values: Floats, rows: Int, columns: Int, stride: Int) -> Int? {
  if isFinite(values, rows: rows, columns: columns, stride: stride) { return nil }
  return (0..<rows).first { !isFinite(values.from($0 * stride), rows: 1, columns: columns, stride: stride) }
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
