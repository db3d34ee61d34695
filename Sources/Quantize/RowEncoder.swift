import Blocks
import GGUF
import Synchronization
import Tensors

/// Reads rows of a model once, and encodes them in one form or several.
struct RowEncoder: Sendable {
  let source: any ModelSource
  /// The maximum number of decoded bytes of a chunk.
  let chunkBytes: Int

  /// A type, and the importance that a tensor's rows are encoded with. Two forms with the same type and key are equal.
  struct Form: Hashable, Sendable {
    let type: GGMLType
    /// Identifies the importance; empty without importance.
    var key = ""
    /// [matrices, columns]
    var weights: [Float]?

    init(type: GGMLType) { self.type = type }

    static func == (one: Form, other: Form) -> Bool { one.type == other.type && one.key == other.key }
    func hash(into hasher: inout Hasher) {
      hasher.combine(type)
      hasher.combine(key)
    }
  }

  /// Rows of one tensor in several forms.
  struct Encoded {
    /// The bytes in each form.
    let bytes: [[UInt8]]
    /// For each form, the number of columns whose importance was replaced, in the first chunk of a matrix; 0 in others.
    let replaced: [Int]
  }

  /// Ranges of rows of one chunk. They do not cross matrices of a stack, which have different importance.
  func chunks(of tensor: TensorInfo) -> [Range<Int>] {
    let perMatrix = tensor.shape.rowsPerMatrix
    let maximum = max(1, chunkBytes / max(1, tensor.shape.columns * 4))
    return (0..<tensor.shape.matrices).flatMap { matrix in
      stride(from: 0, to: perMatrix, by: maximum).map { row in
        matrix * perMatrix + row..<matrix * perMatrix + min(perMatrix, row + maximum)
      }
    }
  }

  /// The importance of a tensor's columns, [matrices, columns]; nil if there is none.
  func weights(of tensor: TensorInfo, _ importance: Importance) throws -> [Float]? {
    guard let weights = importance(tensor) else { return nil }
    let expected = tensor.shape.columns * tensor.shape.matrices
    guard weights.count == expected else {
      throw QuantizeError.importanceOfOtherSize(tensor: tensor.name, count: weights.count, expected: expected)
    }
    return weights
  }

  /// Rows in the tensor's own type.
  func copy(_ rows: Range<Int>, of tensor: TensorInfo) throws -> [UInt8] {
    let rowBytes = tensor.type.rowBytes(columns: tensor.shape.columns) ?? 0
    var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try source.readBytes(of: tensor, rows: rows, into: &raw)
    // Encoding checks for NaN, copying does not; a single NaN makes every token NaN.
    if !tensor.type.isQuantized, let index = firstNonFiniteBlock(bytes.span.bytes, as: tensor.type) {
      let columns = tensor.shape.columns
      throw QuantizeError.nonFiniteWeight(
        tensor: tensor.name, row: rows.lowerBound + index / columns, column: index % columns,
        path: source.path(of: tensor))
    }
    return bytes
  }

  /// Rows in other types than the tensor's own.
  func encode(_ rows: Range<Int>, of tensor: TensorInfo, in forms: [Form]) throws -> Encoded {
    let columns = tensor.shape.columns
    let matrix = rows.lowerBound / tensor.shape.rowsPerMatrix
    let weights = forms.map { form in form.weights.map { Array($0[matrix * columns..<(matrix + 1) * columns]) } }
    let widths = forms.map { $0.type.rowBytes(columns: columns) ?? 0 }
    // The rows of a range in one form after the other.
    var packed = [UInt8](repeating: 0, count: rows.count * widths.reduce(0, +))
    // Small enough that rows stay in a core's cache between reading and encoding.
    let grain = max(1, (1 << 16) / columns)
    let replaced = Mutex([Int](repeating: 0, count: forms.count))
    let checksHalf = forms.contains { $0.type == .f16 }
    var span = packed.mutableSpan
    var raw = span.mutableBytes
    try parallelRows(of: &raw, rowBytes: widths.reduce(0, +), grain: grain) { range, slice in
      let first = rows.lowerBound + range.lowerBound
      var floats = [Float](repeating: 0, count: range.count * columns)
      var all = floats.mutableSpan
      try source.readRows(of: tensor, rows: first..<first + range.count, into: &all)
      if checksHalf, let index = firstBeyondHalf(floats) {
        throw QuantizeError.beyondHalf(
          tensor: tensor.name, row: first + index / columns, column: index % columns, path: source.path(of: tensor))
      }
      var start = 0
      for (index, width) in widths.enumerated() {
        var part = slice._mutatingExtracting(start..<start + range.count * width)
        let count = try encode(
          floats, columns, weights[index], as: forms[index].type, into: &part, of: tensor, row: first)
        if range.lowerBound == 0 { replaced.withLock { $0[index] = count } }
        start += range.count * width
      }
    }
    // Counted once per matrix: all its chunks have the same weights.
    let isFirst = rows.lowerBound % tensor.shape.rowsPerMatrix == 0
    return Encoded(
      bytes: Self.unpacked(packed, rows: rows.count, widths, grain: grain),
      replaced: isFirst ? replaced.withLock { $0 } : forms.map { _ in 0 })
  }

  private func encode(
    _ floats: [Float], _ columns: Int, _ weights: [Float]?, as type: GGMLType, into output: inout MutableRawSpan,
    of tensor: TensorInfo, row first: Int
  ) throws -> Int {
    do {
      return try encodeRows(
        floats.span, columns: columns, importance: weights?.span, as: type, into: &output)
    } catch EncodeError.nonFiniteWeight(let row, let column) {
      throw QuantizeError.nonFiniteWeight(
        tensor: tensor.name, row: first + row, column: column, path: source.path(of: tensor))
    } catch EncodeError.needsImportance {
      throw QuantizeError.needsImportance(tensor: tensor.name, type: type)
    } catch {
      throw QuantizeError.notEncodable(tensor: tensor.name, type: type)
    }
  }

  /// The bytes of each form, in the order of the rows.
  private static func unpacked(_ packed: [UInt8], rows: Int, _ widths: [Int], grain: Int) -> [[UInt8]] {
    guard widths.count > 1 else { return [packed] }
    var result = widths.map { width in
      var bytes: [UInt8] = []
      bytes.reserveCapacity(rows * width)
      return bytes
    }
    var start = 0
    for row in stride(from: 0, to: rows, by: grain) {
      for (index, width) in widths.enumerated() {
        let count = min(grain, rows - row) * width
        result[index] += packed[start..<start + count]
        start += count
      }
    }
    return result
  }
}

/// The index of the first finite number that is infinite in half precision. Usually there is none, so the largest
/// magnitude is checked first, as an integer: magnitudes of floats have the order of their bits.
private func firstBeyondHalf(_ floats: [Float]) -> Int? {
  var largest: UInt32 = 0
  for value in floats { largest = max(largest, value.bitPattern & 0x7FFF_FFFF) }
  // Halfway from the largest half, 65504, to the next value.
  let limit = Float(65520)
  return largest < limit.bitPattern ? nil : floats.firstIndex { abs($0) >= limit && $0.isFinite }
}

extension ModelSource {
  /// Reads rows of a tensor as floats, decoded on all threads.
  package func rows(_ rows: Range<Int>, of tensor: TensorInfo) throws -> [Float] {
    let columns = tensor.shape.columns
    var floats = [Float](repeating: 0, count: rows.count * columns)
    var span = floats.mutableSpan
    try parallelRows(of: &span, rowLength: columns, grain: max(1, (1 << 20) / columns)) { range, slice in
      try readRows(
        of: tensor, rows: rows.lowerBound + range.lowerBound..<rows.lowerBound + range.upperBound, into: &slice)
    }
    return floats
  }
}

/// Encodes rows of one matrix on all threads, with its columns' `weights`.
package func encodeInParallel(
  _ floats: [Float], columns: Int, _ weights: ArraySlice<Float>?, as type: GGMLType, into bytes: inout [UInt8]
) throws -> Int {
  var span = bytes.mutableSpan
  var raw = span.mutableBytes
  if let weights {
    let importance = Array(weights)
    return try encodeRowsInParallel(floats.span, columns: columns, importance: importance.span, as: type, into: &raw)
  }
  return try encodeRowsInParallel(floats.span, columns: columns, importance: nil, as: type, into: &raw)
}
