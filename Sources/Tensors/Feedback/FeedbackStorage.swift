import Synchronization

/// A diagonal block of H: columns that feed errors into each other.
package struct FeedbackBlock: Sendable {
  package let start: Int
  package let width: Int

  static func all(columns: Int, blockColumns: Int) -> [FeedbackBlock] {
    stride(from: 0, to: columns, by: blockColumns).map {
      FeedbackBlock(start: $0, width: min(blockColumns, columns - $0))
    }
  }
}

/// U and H of a ``FeedbackMetric`` as the tiles of the matrix product take them.
///
/// For every panel of 256 columns five arrays:
/// - `far`, -U (unit upper triangular) of the rows before the panel in its diagonal block: [ceil(width / 6)][rows][6];
/// - `gram`, H of all rows of its diagonal block, likewise;
/// - `near`, U within the panel: [width][256], zero below the diagonal;
/// - `nearGram`, H within the panel: [width][256];
/// - `pivots`, D of its columns: [width].
///
/// Rows and columns are in the order of processing.
package final class FeedbackStorage: @unchecked Sendable {
  /// Columns that a tile of the product takes side by side.
  package static let tileColumns = 6

  package struct Panel {
    package let start: Int
    package let width: Int
    package let block: FeedbackBlock
    /// Offsets of the arrays.
    package let far: Int
    package let gram: Int
    package let near: Int
    package let nearGram: Int
    package let pivots: Int

    /// Rows of U before the panel.
    package var farRows: Int { start - block.start }
    package var tiles: Int { (width + tileColumns - 1) / tileColumns }
  }

  package let panels: [Panel]
  private let base: UnsafeMutablePointer<Float>
  private let count: Int
  private let tables = Mutex<[String: any Sendable]>([:])

  init(columns: Int, blocks: [FeedbackBlock]) {
    (panels, count) = Self.layout(blocks)
    base = FloatMemory.allocate(count)
  }

  deinit { FloatMemory.free(base, count) }

  static func layout(_ blocks: [FeedbackBlock]) -> (panels: [Panel], count: Int) {
    let full = FeedbackMetric.panelColumns
    var panels: [Panel] = []
    var count = 0
    func take(_ floats: Int) -> Int {
      defer { count += (floats + 15) / 16 * 16 }
      return count
    }
    for block in blocks {
      for start in stride(from: block.start, to: block.start + block.width, by: full) {
        let width = min(full, block.start + block.width - start)
        let across = (width + tileColumns - 1) / tileColumns * tileColumns
        panels.append(
          Panel(
            start: start, width: width, block: block, far: take(across * (start - block.start)),
            gram: take(across * block.width), near: take(width * full), nearGram: take(width * full),
            pivots: take(full)))
      }
    }
    return (panels, count)
  }

  package func pointer(_ offset: Int) -> UnsafePointer<Float> { UnsafePointer(base + offset) }

  /// A table that a format derives from the metric. It is made at the first call, since the rows of a matrix come in parts.
  package func table<Table: Sendable>(_ key: String, make: () -> Table) -> Table {
    tables.withLock { tables in
      if let table = tables[key] as? Table { return table }
      let table = make()
      tables[key] = table
      return table
    }
  }

  /// Stores the inverse of a block's factor, every row divided by its diagonal.
  func store(_ factor: borrowing ReverseCholesky, of block: FeedbackBlock) throws {
    let full = FeedbackMetric.panelColumns
    try factor.forEachInverseColumn { [self] start, diagonal, columns in
      let panel = panels[(block.start + start) / full]
      let width = panel.width
      for tile in 0..<panel.tiles {
        let target = base + panel.far + tile * panel.farRows * Self.tileColumns
        let count = min(Self.tileColumns, width - tile * Self.tileColumns)
        for row in 0..<panel.farRows {
          let source = columns + row * full + tile * Self.tileColumns
          for column in 0..<Self.tileColumns {
            target[row * Self.tileColumns + column] = column < count ? Float(-source[column] * diagonal[row]) : 0
          }
        }
      }
      for row in 0..<width {
        let pivot = diagonal[panel.farRows + row]
        base[panel.pivots + row] = Float(pivot * pivot)
        for column in 0..<full {
          let value = column < width ? columns[(panel.farRows + row) * full + column] * pivot : 0
          base[panel.near + row * full + column] = column == row ? 1 : Float(value)
        }
      }
    }
  }

  /// Stores H of a block; `value` takes a row and a column of the block.
  func storeGram(of block: FeedbackBlock, value: @Sendable (Int, Int) -> Float) throws {
    let full = FeedbackMetric.panelColumns
    let first = block.start / full
    try parallelRanges((block.width + full - 1) / full, grain: 1) { [self] index, _ in
      let panel = panels[first + index]
      let start = panel.start - block.start
      for tile in 0..<panel.tiles {
        let target = base + panel.gram + tile * block.width * Self.tileColumns
        let count = min(Self.tileColumns, panel.width - tile * Self.tileColumns)
        for row in 0..<block.width {
          for column in 0..<Self.tileColumns {
            target[row * Self.tileColumns + column] =
              column < count ? value(row, start + tile * Self.tileColumns + column) : 0
          }
        }
      }
      for row in 0..<panel.width {
        for column in 0..<full {
          base[panel.nearGram + row * full + column] = column < panel.width ? value(start + row, start + column) : 0
        }
      }
    }
  }
}

extension FeedbackMetric {
  /// An entry of D, by its position in the order of processing.
  package func pivot(_ position: Int) -> Float {
    let panel = storage.panels[position / Self.panelColumns]
    return storage.pointer(panel.pivots)[position - panel.start]
  }

  /// An entry of U, by positions in the order of processing.
  package func factor(row: Int, column: Int) -> Float {
    let panel = storage.panels[column / Self.panelColumns]
    let inside = column - panel.start
    if row >= panel.start {
      return row < panel.start + panel.width
        ? storage.pointer(panel.near)[(row - panel.start) * Self.panelColumns + inside] : 0
    }
    guard row >= panel.block.start else { return 0 }
    let (tile, lane) = inside.quotientAndRemainder(dividingBy: FeedbackStorage.tileColumns)
    return -storage.pointer(panel.far)[
      (tile * panel.farRows + row - panel.block.start) * FeedbackStorage.tileColumns + lane]
  }

  /// An entry of H by positions, divided by the mean of the diagonal and damped.
  package func gram(row: Int, column: Int) -> Float {
    let panel = storage.panels[column / Self.panelColumns]
    guard row >= panel.block.start, row < panel.block.start + panel.block.width else { return 0 }
    let (tile, lane) = (column - panel.start).quotientAndRemainder(dividingBy: FeedbackStorage.tileColumns)
    return storage.pointer(panel.gram)[
      (tile * panel.block.width + row - panel.block.start) * FeedbackStorage.tileColumns + lane]
  }

  /// Bytes that a metric holds.
  public static func bytes(columns: Int, blockColumns: Int? = nil) -> Int {
    let blocks = FeedbackBlock.all(columns: columns, blockColumns: min(columns, blockColumns ?? columns))
    return FeedbackStorage.layout(blocks).count * 4
  }

  /// Bytes that building a metric takes at most, the metric included and the Gram matrix not.
  public static func peakBytes(columns: Int, blockColumns: Int? = nil) -> Int {
    let width = min(columns, blockColumns ?? columns)
    // The matrix in double precision, inverses of diagonal blocks, and a column for every thread.
    let columnBytes = 8 * panelColumns * (width + panelColumns)
    let padded = (width + panelColumns - 1) / panelColumns * panelColumns
    return bytes(columns: columns, blockColumns: blockColumns) + 8 * padded * padded + (3 + Threads.count) * columnBytes
  }

  /// The widest diagonal blocks with which a metric can be built in `bytes`: `columns` where the whole fits, nil where
  /// blocks of ``panelColumns`` do not fit.
  public static func blockColumns(columns: Int, fitting bytes: Int) -> Int? {
    if peakBytes(columns: columns) <= bytes { return columns }
    var (low, high) = (0, (columns + panelColumns - 1) / panelColumns)
    while high - low > 1 {
      let middle = (low + high) / 2
      if peakBytes(columns: columns, blockColumns: middle * panelColumns) <= bytes {
        low = middle
      } else {
        high = middle
      }
    }
    return low > 0 ? low * panelColumns : nil
  }
}
