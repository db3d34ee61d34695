import Blocks
import Files

/// A tensor of a safetensors file.
package struct StoredTensor: Sendable {
  package let name: String
  package let element: SourceElement
  /// Extents in the file's order: the last dimension is contiguous.
  package let shape: [Int]
  package let file: PositionedFile
  /// Absolute byte offset of the first element.
  package let offset: Int
  package let byteCount: Int
  /// Factors of the elements, for FP8.
  var scale: ScaleGrid?
  /// The weights, if they are packed. `shape` is theirs; the other properties are those of the tensor that holds them.
  var packed: (any PackedRows)?

  var columns: Int { shape.last ?? 1 }
  var rows: Int { shape.dropLast().reduce(1, *) }
  var count: Int { shape.reduce(1, *) }
  /// Stored bytes of a row, without scales.
  var rowBytes: Int { packed == nil ? columns * element.bits / 8 : byteCount / max(1, rows) }
  var end: Int { offset + byteCount }

  /// The files that the tensor is read from; nil for packed weights, which other tensors belong to.
  var files: [PositionedFile]? { packed == nil ? [file] + (scale.map { [$0.file] } ?? []) : nil }

  /// The same elements as a matrix of one column.
  var asColumn: StoredTensor {
    StoredTensor(
      name: name, element: element, shape: [count, 1], file: file, offset: offset, byteCount: byteCount, scale: scale)
  }

  /// Reads the stored bytes of rows, or the blocks of packed weights.
  func readBytes(_ rows: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws {
    if let packed { return try packed.readBlocks(rows, into: output) }
    var span = MutableRawSpan(_unsafeBytes: output)
    try file.read(into: &span, at: offset + rows.lowerBound * rowBytes)
  }

  /// Reads rows as floats, and multiplies them by their scales.
  func readFloats(_ rows: Range<Int>, into output: UnsafeMutableBufferPointer<Float>) throws {
    if let packed { return try packed.readFloats(rows, into: output) }
    if element == .f32 { return try readBytes(rows, into: UnsafeMutableRawBufferPointer(output)) }
    let bytes = try [UInt8](unsafeUninitializedCapacity: rows.count * rowBytes) { buffer, count in
      count = rows.count * rowBytes
      try readBytes(
        rows, into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count]))
    }
    guard element.isFloat8 else { return decode(bytes, as: element, into: output) }
    let scales = try scale?.rows(rows)
    bytes.withUnsafeBytes { bytes in
      for row in 0..<rows.count {
        let start = row * columns
        guard let scales else {
          decodeFloat8(bytes, from: start, count: columns, as: element, scale: 1, into: output)
          continue
        }
        var column = 0
        for scale in scales[row] {
          let count = min(scales.tileColumns, columns - column)
          decodeFloat8(bytes, from: start + column, count: count, as: element, scale: scale, into: output)
          column += count
        }
      }
    }
  }
}

/// Decodes F64 (rounded to the nearest float), F32, F16 or BF16.
private func decode(_ bytes: [UInt8], as element: SourceElement, into output: UnsafeMutableBufferPointer<Float>) {
  if let type = element.type {
    var span = MutableSpan(_unsafeElements: output)
    return decodeRows(bytes.span.bytes, as: type, into: &span)
  }
  precondition(element == .f64 && bytes.count == 8 * output.count, "\(element), \(bytes.count) bytes")
  bytes.withUnsafeBytes { bytes in
    for index in output.indices {
      let bits = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
      output[index] = Float(Double(bitPattern: bits))
    }
  }
}

/// Scales of an FP8 tensor, one per tile of rows and columns. Tiles at the edges may be smaller.
///
/// A tile is the whole tensor, a matrix of a stack, a row, or a block such as DeepSeek V3's of 128 by 128.
struct ScaleGrid: Sendable {
  private let offset: Int
  private let element: SourceElement
  fileprivate let file: PositionedFile
  private let gridRows: Int
  private let gridColumns: Int
  private let tileRows: Int
  private let tileColumns: Int
  /// Rows of one matrix of a stack. Tiles do not cross matrices.
  private let matrixRows: Int

  /// - Parameters:
  ///   - block: rows and columns of a tile, if the shape of the scales does not determine them.
  init(_ scale: StoredTensor, of weight: StoredTensor, block: (rows: Int, columns: Int)) throws {
    guard scale.element.type != nil || scale.element == .f64 else {
      throw FormatError(
        path: scale.file.path, subject: "tensor \(scale.name)", "is a scale of type \(scale.element.rawValue)",
        hint: "known: F64, F32, F16, BF16")
    }
    (offset, element, file) = (scale.offset, scale.element, scale.file)
    let columns = weight.columns
    let matrixRows = weight.shape.dropLast().last ?? 1
    let matrices = weight.rows / max(1, matrixRows)
    let count = scale.shape.reduce(1, *)
    func ceilingQuotient(_ length: Int, _ block: Int) -> Int { length / block + (length % block > 0 ? 1 : 0) }
    let grid = (ceilingQuotient(matrixRows, block.rows), ceilingQuotient(columns, block.columns))
    if count == 1 {
      // One scale for all elements.
      (gridRows, gridColumns, tileRows, tileColumns, self.matrixRows) = (1, 1, weight.rows, columns, weight.rows)
    } else if scale.shape == weight.shape.dropLast(2) + [grid.0, grid.1] {
      (gridRows, gridColumns, tileRows, tileColumns) = (grid.0, grid.1, block.rows, block.columns)
      self.matrixRows = matrixRows
    } else if count == weight.rows, scale.shape.first == weight.shape.first {
      (gridRows, gridColumns, tileRows, tileColumns, self.matrixRows) = (weight.rows, 1, 1, columns, weight.rows)
    } else if count == matrices, scale.shape.first == matrices {
      (gridRows, gridColumns, tileRows, tileColumns, self.matrixRows) = (1, 1, matrixRows, columns, matrixRows)
    } else {
      throw FormatError(
        path: scale.file.path, subject: "tensor \(scale.name)",
        "has shape \(scale.shape), which is neither one scale for \(weight.shape), nor one per row, nor one per "
          + "block of \(block.rows) by \(block.columns)")
    }
  }

  /// The scales of a range of rows.
  struct Rows {
    fileprivate let values: [Float]
    fileprivate let index: [Int]
    fileprivate let gridColumns: Int
    let tileColumns: Int

    subscript(row: Int) -> ArraySlice<Float> {
      values[index[row] * gridColumns..<(index[row] + 1) * gridColumns]
    }
  }

  private func gridRow(_ row: Int) -> Int {
    let (matrix, inside) = row.quotientAndRemainder(dividingBy: matrixRows)
    return matrix * gridRows + inside / tileRows
  }

  func rows(_ rows: Range<Int>) throws -> Rows {
    let first = gridRow(rows.lowerBound)
    let last = gridRow(rows.upperBound - 1)
    let count = (last - first + 1) * gridColumns
    let width = element.bits / 8
    let start = offset + first * gridColumns * width
    let bytes = try file.bytes(in: start..<start + count * width)
    var values = [Float](repeating: 0, count: count)
    values.withUnsafeMutableBufferPointer { decode(bytes, as: element, into: $0) }
    return Rows(
      values: values, index: rows.map { gridRow($0) - first }, gridColumns: gridColumns, tileColumns: tileColumns)
  }
}
