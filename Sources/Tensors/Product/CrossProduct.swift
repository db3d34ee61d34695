/// A^T B, for rows A [tokens, rows] and B [tokens, columns] that come together: what the inputs of one stream have to do with
/// those of another. Sums are in single precision, in the order of the tokens alone.
public struct CrossProduct: Sendable {
  public let rows: Int
  public let columns: Int
  /// [rows, columns]
  public private(set) var values: [Float]
  private var left: [Float] = []
  private var right: [Float] = []

  public init(rows: Int, columns: Int) {
    precondition(rows > 0 && columns > 0, "\(rows) by \(columns)")
    self.rows = rows
    self.columns = columns
    values = [Float](repeating: 0, count: rows * columns)
  }

  /// Bytes that it takes.
  public static func bytes(rows: Int, columns: Int) -> Int {
    4 * (rows * columns + GramMatrix.chunk * (rows + columns))
  }

  /// Adds the product of the differences a - c with b.
  ///
  /// a [tokens, rows], c [tokens, rows], b [tokens, columns]
  public mutating func add(_ a: Span<Float>, minus c: Span<Float>, times b: Span<Float>) throws {
    let tokens = b.count / columns
    precondition(
      b.count == tokens * columns && a.count == tokens * rows && c.count == a.count,
      "\(a.count), \(c.count) and \(b.count) floats for \(rows) by \(columns)")
    var token = 0
    while token < tokens {
      let count = min(tokens - token, GramMatrix.chunk - right.count / columns)
      left.reserveCapacity(GramMatrix.chunk * rows)
      right.reserveCapacity(GramMatrix.chunk * columns)
      for index in token * rows..<(token + count) * rows { left.append(a[index] - c[index]) }
      b.extracting(token * columns..<(token + count) * columns).withUnsafeBufferPointer {
        right.append(contentsOf: $0)
      }
      if right.count == GramMatrix.chunk * columns { try flush() }
      token += count
    }
  }

  /// Adds the rows that wait.
  public mutating func finish() throws {
    try flush()
    (left, right) = ([], [])
  }

  private mutating func flush() throws {
    guard !right.isEmpty else { return }
    let edge = GramMatrix.tile
    let (rows, columns, tokens) = (rows, columns, right.count / columns)
    let across = (columns + edge - 1) / edge
    try left.withUnsafeBufferPointer { a in
      try right.withUnsafeBufferPointer { b in
        try values.withUnsafeMutableBufferPointer { values in
          let work = CrossWork(a: a.baseAddress!, b: b.baseAddress!, sums: values.baseAddress!)
          try parallelRanges(across * ((rows + edge - 1) / edge), grain: 1) { index, _ in
            let (row, column) = (index / across * edge, index % across * edge)
            let tile = GramTile(
              rows: row..<min(rows, row + edge), columns: column..<min(columns, column + edge), tokens: tokens,
              xStride: rows, yStride: columns, stride: columns)
            BLAS.addTransposed(work.a + row, times: work.b + column, to: work.sums + row * columns + column, tile: tile)
          }
        }
      }
    }
    left.removeAll(keepingCapacity: true)
    right.removeAll(keepingCapacity: true)
  }
}

/// The memory that threads share; each adds to a separate tile.
private struct CrossWork: @unchecked Sendable {
  let a: UnsafePointer<Float>
  let b: UnsafePointer<Float>
  let sums: UnsafeMutablePointer<Float>
}
