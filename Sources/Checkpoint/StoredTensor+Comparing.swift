import Files
import Tensors

extension StoredTensor {
  /// Finds the first row in which two tensors of one shape hold different numbers; nil where all are equal.
  ///
  /// Element types may differ: numbers are compared as floats, after scaling. NaN equals NaN, and 0 equals -0. Both
  /// tensors stream through memory, a mebibyte of each per thread.
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

  /// True where two tensors have equal types, shapes and bytes.
  func hasContent(of other: StoredTensor) throws -> Bool {
    guard element == other.element, shape == other.shape, byteCount == other.byteCount else { return false }
    if isSame(as: other) { return true }
    for start in stride(from: 0, to: byteCount, by: 1 << 20) {
      let range = start..<min(byteCount, start + 1 << 20)
      let (ours, theirs) = (offset + range.lowerBound, other.offset + range.lowerBound)
      guard
        try file.bytes(in: ours..<ours + range.count) == other.file.bytes(in: theirs..<theirs + range.count)
      else { return false }
    }
    return true
  }

  /// True where both are the same bytes of one file.
  private func isSame(as other: StoredTensor) -> Bool {
    file === other.file && offset == other.offset && element == other.element && scale == nil && other.scale == nil
  }

  /// Of several that threads find, `parallelRanges` rethrows the one of the lowest range.
  private struct Difference: Error { let row: Int }

  private func firstDifference(from other: StoredTensor, in rows: Range<Int>) throws -> Int? {
    // Equal bytes are the usual case.
    if element == other.element, scale == nil, other.scale == nil, try bytes(rows) == other.bytes(rows) { return nil }
    let (ours, theirs) = (try floats(rows), try other.floats(rows))
    guard let index = ours.indices.first(where: { ours[$0] != theirs[$0] && !(ours[$0].isNaN && theirs[$0].isNaN) })
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
