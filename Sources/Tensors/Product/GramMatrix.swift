/// X^T X, for inputs X [tokens, columns] of a linear layer: what the errors of two columns have to do with each other.
///
///     var gram = GramMatrix(columns: 4096)
///     try gram.add(rows)
///     try gram.finish()
///     let h = gram.values  // [4096, 4096]
///
/// Sums are in single precision, and their order is that of the tokens alone: they are added in chunks of a fixed number
/// of tokens, whatever number a call brings, and in tiles of a fixed size, whatever the number of threads. Where memory
/// does not hold the whole matrix, blocks on its diagonal take its place.
public struct GramMatrix: Sendable {
  /// Columns of the inputs.
  public let columns: Int
  /// Columns of every block; the last may have fewer.
  public let blockColumns: Int
  /// Tokens that were added.
  public internal(set) var tokens = 0
  /// The blocks one after the other, each of columns times columns, row after row: the upper triangle is the matrix, below
  /// it there are zeros.
  public internal(set) var values: [Float]
  /// Rows that wait for the chunk to be full.
  private var waiting: [Float] = []

  /// Tokens that are added at once: enough that a tile is read and written seldom, few enough to wait in memory.
  static let chunk = 256
  /// Columns of a tile of the matrix, which one thread works on.
  static let tile = 256

  /// - Parameter blockColumns: columns of a diagonal block; all of them by default.
  public init(columns: Int, blockColumns: Int? = nil) {
    precondition(columns > 0 && blockColumns ?? 1 > 0, "\(columns) columns in blocks of \(blockColumns ?? columns)")
    self.columns = columns
    self.blockColumns = min(columns, blockColumns ?? columns)
    values = [Float](repeating: 0, count: Self.elements(columns, self.blockColumns))
  }

  /// Bytes that the matrix takes, and the rows that wait.
  public static func bytes(columns: Int, blockColumns: Int) -> Int {
    4 * (elements(columns, min(columns, blockColumns)) + chunk * columns)
  }

  private static func elements(_ columns: Int, _ blockColumns: Int) -> Int {
    let (whole, rest) = columns.quotientAndRemainder(dividingBy: blockColumns)
    return whole * blockColumns * blockColumns + rest * rest
  }

  /// The columns of each block.
  public var ranges: [Range<Int>] {
    stride(from: 0, to: columns, by: blockColumns).map { $0..<min(columns, $0 + blockColumns) }
  }

  /// Adds the rows of x [tokens, columns], on all threads.
  public mutating func add(_ x: Span<Float>) throws {
    precondition(x.count % columns == 0, "\(x.count) floats in \(columns) columns")
    let rows = x.count / columns
    tokens += rows
    var row = 0
    while row < rows {
      let staged = waiting.count / columns
      let count = min(rows - row, Self.chunk - staged)
      let part = x.extracting(row * columns..<(row + count) * columns)
      if count == Self.chunk {
        try accumulate(part)
      } else {
        waiting.reserveCapacity(Self.chunk * columns)
        part.withUnsafeBufferPointer { waiting.append(contentsOf: $0) }
        if staged + count == Self.chunk { try flush() }
      }
      row += count
    }
  }

  /// Adds the rows that wait. Rows that are added afterwards are of another chunk.
  public mutating func finish() throws {
    try flush()
    waiting = []
  }

  /// The index of the first of ``values`` of a block that begins with a column.
  public func offset(of range: Range<Int>) -> Int { range.lowerBound * blockColumns }

  /// The diagonal: sums of squares of every column.
  public var diagonal: [Float] {
    ranges.flatMap { range in (0..<range.count).map { values[offset(of: range) + $0 * (range.count + 1)] } }
  }

  private mutating func flush() throws {
    guard !waiting.isEmpty else { return }
    // Out of the matrix while it changes, and back for its memory.
    var rows: [Float] = []
    swap(&rows, &waiting)
    try accumulate(rows.span)
    rows.removeAll(keepingCapacity: true)
    swap(&rows, &waiting)
  }

  private mutating func accumulate(_ x: Span<Float>) throws {
    let tokens = x.count / columns
    for range in ranges {
      let offset = offset(of: range)
      try x.withUnsafeBufferPointer { x in
        try values.withUnsafeMutableBufferPointer { values in
          guard let x = x.baseAddress, let values = values.baseAddress else { return }
          let work = GramWork(
            x: x + range.lowerBound, sums: values + offset, tokens: tokens, xStride: columns, columns: range.count)
          try work.run()
        }
      }
    }
  }
}

/// A tile of a Gram matrix: the products of the columns `rows` with the columns `columns` of x.
struct GramTile {
  let rows: Range<Int>
  let columns: Range<Int>
  let tokens: Int
  /// Elements between the beginnings of two rows of x, and of what it is multiplied with.
  let xStride: Int
  let yStride: Int
  /// Elements between the beginnings of two rows of the matrix.
  let stride: Int
}

/// The sums that threads share: each adds to tiles of its own.
private struct GramWork: @unchecked Sendable {
  let x: UnsafePointer<Float>
  let sums: UnsafeMutablePointer<Float>
  let tokens: Int
  let xStride: Int
  let columns: Int

  func run() throws {
    let edge = GramMatrix.tile
    let starts = Array(Swift.stride(from: 0, to: columns, by: edge))
    let tiles = starts.indices.flatMap { column in (0...column).map { (row: starts[$0], column: starts[column]) } }
    try parallelRanges(tiles.count, grain: 1) { index, _ in
      let (row, column) = tiles[index]
      let tile = GramTile(
        rows: row..<min(columns, row + edge), columns: column..<min(columns, column + edge), tokens: tokens,
        xStride: xStride, yStride: xStride, stride: columns)
      let target = sums + row * columns + column
      if row == column {
        BLAS.addSquare(x + row, to: target, tile: tile)
      } else {
        BLAS.addTransposed(x + row, times: x + column, to: target, tile: tile)
      }
    }
  }
}
