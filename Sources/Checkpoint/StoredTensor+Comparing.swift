import Files
import Tensors

extension StoredTensor {
  /// Finds the first row in which two tensors of equal shape differ; nil if all rows are equal.
  ///
  /// Element types may differ: numbers are compared as floats, after scaling. NaN equals NaN, and 0 equals -0. Memory:
  /// a mebibyte of each tensor per thread.
  func firstDifference(from other: StoredTensor) throws -> Int? {
    precondition(shape == other.shape, "\(shape) and \(other.shape)")
    guard count > 0, !isSame(as: other) else { return nil }
    let grain = max(1, (1 << 20) / max(rowBytes, other.rowBytes))
    do {
      try parallelRanges(rows, grain: grain) { _, rows in
        if let row = try firstDifference(from: other, in: rows) { throw Difference(row: row) }
      }
    } catch let difference as Difference {
      return difference.row
    }
    return nil
  }

  /// True if two tensors have equal types, shapes and bytes.
  func hasContent(of other: StoredTensor) throws -> Bool {
    guard element == other.element, shape == other.shape, byteCount == other.byteCount else { return false }
    if isSame(as: other) { return true }
    for start in stride(from: 0, to: byteCount, by: 1 << 20) {
      let range = start..<min(byteCount, start + 1 << 20)
      let (ours, others) = (offset + range.lowerBound, other.offset + range.lowerBound)
      guard
        try file.bytes(in: ours..<ours + range.count) == other.file.bytes(in: others..<others + range.count)
      else { return false }
    }
    return true
  }

  /// True if the stored bytes are the weights.
  private var isPlain: Bool { scale == nil && packed == nil }

  /// True if both are the same byte range of one file.
  private func isSame(as other: StoredTensor) -> Bool {
    file === other.file && offset == other.offset && element == other.element && isPlain && other.isPlain
  }

  /// Thrown to stop the search. `parallelRanges` rethrows the error of the lowest range.
  private struct Difference: Error { let row: Int }

  private func firstDifference(from other: StoredTensor, in rows: Range<Int>) throws -> Int? {
    // Equal bytes are the usual case.
    if element == other.element, isPlain, other.isPlain, try bytes(rows) == other.bytes(rows) { return nil }
    let (ours, others) = (try floats(rows), try other.floats(rows))
    guard let index = ours.indices.first(where: { ours[$0] != others[$0] && !(ours[$0].isNaN && others[$0].isNaN) })
    else { return nil }
    return rows.lowerBound + index / columns
  }

  private func bytes(_ rows: Range<Int>) throws -> [UInt8] {
    try file.bytes(in: offset + rows.lowerBound * rowBytes..<offset + rows.upperBound * rowBytes)
  }

  private func floats(_ rows: Range<Int>) throws -> [Float] {
    let length = rows.count * columns
    return try [Float](unsafeUninitializedCapacity: length) { buffer, count in
      try readFloats(rows, into: UnsafeMutableBufferPointer(rebasing: buffer[..<length]))
      count = length
    }
  }
}
