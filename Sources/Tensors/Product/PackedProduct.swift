import CVectors

/// Products by this package's kernels. The weights are packed into panels once, when they are decoded.
///
/// An element's bits depend only on its row and column: neither on the number of threads nor on the tiles.
public struct PackedProduct: ProductEngine {
  public let name = "packed"
  public let layout = WeightLayout.panels
  /// Bytes of packed tokens and of the edge tile.
  public let threadBytes = 4 * Scratch.count(tokens: tokenTile)

  /// Columns that are summed before the sum is added to the result. It orders the additions, so results depend on it. A
  /// panel of this depth is read from the second-level cache for every tile. A panel that fits in the first level costs
  /// 5 % more, because results are added to three times as often.
  private static let depth = 1024
  /// The maximum number of tokens that are packed at once.
  private static let tokenTile = 480
  /// The same where two panels of weights are packed too.
  private static let tokenTileOnThread = 444
  /// Tokens of a kernel's tile.
  private static let tokenPanel = 6
  /// The minimum and the maximum of the rows of weights in a task.
  private static let rowTiles = 128...4096

  init() {}

  /// Copies `source` [rows, columns] to panels.
  public static func pack(_ source: Span<Float>, rows: Int, columns: Int, into target: inout MutableSpan<Float>) {
    let count = WeightLayout.count(rows: rows, columns: columns)
    precondition(source.count >= rows * columns && target.count >= count, "\(source.count) to \(target.count)")
    source.withUnsafeBufferPointer { source in
      target.withUnsafeMutableBufferPointer { target in
        guard let source = source.baseAddress, let target = target.baseAddress else { return }
        for row in stride(from: 0, to: rows, by: WeightLayout.panelRows) {
          cv_pack16(
            source + row * columns, columns, min(WeightLayout.panelRows, rows - row), columns, target + row * columns)
        }
      }
    }
  }

  public func multiply(
    _ x: Span<Float>, by w: Span<Float>, into y: inout MutableSpan<Float>, shape: ProductShape, accumulate: Bool
  ) throws {
    guard !shape.isEmpty else { return }
    shape.check(
      x: x.count, w: w.count, weights: WeightLayout.count(rows: shape.rows, columns: shape.columns), y: y.count)
    let down = (shape.tokens + Self.tokenTile - 1) / Self.tokenTile
    let height = ((shape.tokens + down - 1) / down + Self.tokenPanel - 1) / Self.tokenPanel * Self.tokenPanel
    // Large enough to repay packing the tokens, small enough that every thread has work.
    let balanced = shape.rows * down / (4 * Threads.count)
    let rowTile = min(Self.rowTiles.upperBound, max(Self.rowTiles.lowerBound, balanced)) / 32 * 32
    let across = (shape.rows + rowTile - 1) / rowTile
    try x.withUnsafeBufferPointer { x in
      try w.withUnsafeBufferPointer { w in
        try y.withUnsafeMutableBufferPointer { y in
          let operands = Operands(x: x.baseAddress!, w: w.baseAddress!, y: y.baseAddress!, shape: shape)
          try parallelRanges(across * down, grain: 1) { index, _ in
            let token = index % down * height
            let row = index / down * rowTile
            let task = ProductTask(
              operands, tokens: token..<min(shape.tokens, token + height), rows: row..<min(shape.rows, row + rowTile))
            if let bad = task.run(accumulate: accumulate) { throw NonFiniteProduct(row: token + bad) }
          }
        }
      }
    }
  }

  public func multiplyOnThread(
    _ x: Span<Float>, by w: Span<Float>, into y: inout MutableSpan<Float>, shape: ProductShape
  ) {
    guard !shape.isEmpty else { return }
    shape.check(x: x.count, w: w.count, weights: shape.rows * shape.columns, y: y.count)
    x.withUnsafeBufferPointer { x in
      w.withUnsafeBufferPointer { w in
        y.withUnsafeMutableBufferPointer { y in
          let operands = Operands(x: x.baseAddress!, w: w.baseAddress!, y: y.baseAddress!, shape: shape)
          for token in stride(from: 0, to: shape.tokens, by: Self.tokenTileOnThread) {
            ProductTask(
              operands, tokens: token..<min(shape.tokens, token + Self.tokenTileOnThread), rows: 0..<shape.rows
            ).runOnRows()
          }
        }
      }
    }
  }

  /// The matrices of a product. Every task writes its own tile of y.
  fileprivate struct Operands: @unchecked Sendable {
    let x: UnsafePointer<Float>
    let w: UnsafePointer<Float>
    let y: UnsafeMutablePointer<Float>
    let shape: ProductShape
  }

  /// A part of a product that one thread computes.
  fileprivate struct ProductTask {
    let x: UnsafePointer<Float>
    let w: UnsafePointer<Float>
    let y: UnsafeMutablePointer<Float>
    let columns: Int
    let xStride: Int
    let yStride: Int
    let tokens: Int
    let rows: Range<Int>

    init(_ operands: Operands, tokens: Range<Int>, rows: Range<Int>) {
      x = operands.x + tokens.lowerBound * operands.shape.xStride
      w = operands.w
      y = operands.y + tokens.lowerBound * operands.shape.yStride
      columns = operands.shape.columns
      xStride = operands.shape.xStride
      yStride = operands.shape.yStride
      self.tokens = tokens.count
      self.rows = rows
    }

    /// Multiplies by packed panels. Returns the first row with a result that is not finite.
    func run(accumulate: Bool) -> Int? {
      let isFinite = Scratch.with(tokens: tokens) { scratch in
        let isWide = cv_has_wide_tiles() != 0
        for start in stride(from: 0, to: columns, by: depth) {
          let k = min(depth, columns - start)
          pack(columns: start, k, into: scratch.tokens)
          let adds: Int32 = accumulate || start > 0 ? 1 : 0
          let watch = start + k == columns ? scratch.guards : nil
          var row = rows.lowerBound
          while row < rows.upperBound {
            let panel = w + row * columns + start * WeightLayout.panelRows
            let width = isWide && row + 32 <= rows.upperBound ? 32 : 16
            multiply(row, width, k, panel, gap: WeightLayout.panelRows * columns, adds, watch, scratch)
            row += width
          }
        }
        return cv_sum(cv_load(scratch.guards)) == 0
      }
      return isFinite
        ? nil : firstNonFiniteRow(y + rows.lowerBound, rows: tokens, columns: rows.count, stride: yStride)
    }

    /// Multiplies by rows of weights, which it packs.
    func runOnRows() {
      Scratch.with(tokens: tokenTile) { scratch in
        let panels = scratch.tokens + tokenTileOnThread * depth + 2
        let isWide = cv_has_wide_tiles() != 0
        for start in stride(from: 0, to: columns, by: depth) {
          let k = min(depth, columns - start)
          pack(columns: start, k, into: scratch.tokens)
          var row = rows.lowerBound
          while row < rows.upperBound {
            let width = isWide && row + 32 <= rows.upperBound ? 32 : 16
            for half in stride(from: 0, to: width, by: WeightLayout.panelRows) {
              cv_pack16(
                w + (row + half) * columns + start, columns,
                min(WeightLayout.panelRows, rows.upperBound - row - half), k, panels + half * k)
            }
            multiply(row, width, k, panels, gap: WeightLayout.panelRows * k, start > 0 ? 1 : 0, nil, scratch)
            row += width
          }
        }
      }
    }

    /// Multiplies all tokens by 16 or 32 rows of weights from `row` on. A second panel begins `gap` elements after the
    /// first.
    private func multiply(
      _ row: Int, _ width: Int, _ k: Int, _ panel: UnsafePointer<Float>, gap: Int, _ adds: Int32,
      _ watch: UnsafeMutablePointer<Float>?, _ scratch: Scratch
    ) {
      for token in stride(from: 0, to: tokens, by: tokenPanel) {
        let a = scratch.tokens + token * k
        let target = y + token * yStride + row
        if token + tokenPanel <= tokens && row + width <= rows.upperBound {
          tile(width, k, a, panel, gap, target, yStride, adds, watch)
        } else {
          // The kernel writes whole tiles: at an edge it writes to a scratch tile, of which a part is copied.
          let (height, across) = (min(tokenPanel, tokens - token), min(width, rows.upperBound - row))
          if adds != 0 {
            for line in 0..<height {
              (scratch.edge + line * 32).update(from: target + line * yStride, count: across)
            }
          }
          tile(width, k, a, panel, gap, scratch.edge, 32, adds, watch)
          for line in 0..<height { (target + line * yStride).update(from: scratch.edge + line * 32, count: across) }
        }
      }
    }

    private func tile(
      _ width: Int, _ k: Int, _ a: UnsafePointer<Float>, _ panel: UnsafePointer<Float>, _ gap: Int,
      _ target: UnsafeMutablePointer<Float>, _ stride: Int, _ adds: Int32, _ watch: UnsafeMutablePointer<Float>?
    ) {
      if width == 32 {
        cv_tile32(k, a, panel, gap, target, stride, adds, watch)
      } else {
        cv_tile16(k, a, panel, target, stride, adds, watch)
      }
    }

    /// Packs columns of six tokens each side by side: out[tokens / 6][k][6].
    private func pack(columns start: Int, _ k: Int, into out: UnsafeMutablePointer<Float>) {
      for token in stride(from: 0, to: tokens, by: tokenPanel) {
        let source = x + token * xStride + start
        let count = min(tokenPanel, tokens - token)
        if count == tokenPanel {
          cv_pack6_whole(source, xStride, k, out + token * k)
        } else {
          cv_pack6(source, xStride, count, k, out + token * k)
        }
      }
    }
  }

  /// A thread's working memory: packed tokens, an edge tile, and eight sums that are NaN once a result is not finite.
  fileprivate struct Scratch {
    let tokens: UnsafeMutablePointer<Float>
    let edge: UnsafeMutablePointer<Float>
    let guards: UnsafeMutablePointer<Float>

    private static let edgeCount = tokenPanel * 2 * WeightLayout.panelRows
    private static let guardCount = 8

    static func count(tokens: Int) -> Int {
      edgeCount + guardCount + (tokens + tokenPanel - 1) / tokenPanel * tokenPanel * depth + 2
    }

    static func with<R>(tokens: Int, _ body: (Scratch) -> R) -> R {
      FloatMemory.withScratch(count(tokens: tokens)) { base in
        base.update(repeating: 0, count: edgeCount + guardCount)
        return body(Scratch(tokens: base + edgeCount + guardCount, edge: base, guards: base + edgeCount))
      }
    }
  }
}

/// The first row with an element that is infinite or NaN.
package func firstNonFiniteRow(_ values: UnsafePointer<Float>, rows: Int, columns: Int, stride: Int) -> Int? {
  if isFinite(values, rows: rows, columns: columns, stride: stride) { return nil }
  return (0..<rows).first { !isFinite(values + $0 * stride, rows: 1, columns: columns, stride: stride) }
}

/// Whether all elements are finite: 0 times a finite number is 0, 0 times any other is NaN.
private func isFinite(_ values: UnsafePointer<Float>, rows: Int, columns: Int, stride: Int) -> Bool {
  var sum = SIMD8<Float>.zero
  var tail: Float = 0
  for row in 0..<rows {
    let start = values + row * stride
    var column = 0
    while column + 8 <= columns {
      sum += cv_load(start + column) * 0
      column += 8
    }
    while column < columns {
      tail += start[column] * 0
      column += 1
    }
  }
  return cv_sum(sum) + tail == 0
}
