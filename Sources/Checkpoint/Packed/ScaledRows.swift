import Files

// Scales of packed weights: [rows, groups], where a group is consecutive columns. A channel's scale is one group, and a
// tensor's is one row and one group.

/// Floats that belong to groups of columns of every row.
struct GroupScales: Sendable {
  let tensor: StoredTensor
  let groups: Int
  /// Whether all rows share the scales.
  private let isShared: Bool

  /// - Throws: `FormatError` if there is neither one scale, nor a number of them for every row.
  init(_ tensor: StoredTensor, rows: Int) throws {
    self.tensor = tensor
    isShared = tensor.count == 1
    groups = isShared ? 1 : tensor.count / max(1, rows)
    guard SourceElement.weights.contains(tensor.element) else {
      throw FormatError(
        path: tensor.file.path, subject: "tensor \(tensor.name)", "is a scale of type \(tensor.element.rawValue)",
        hint: "known: \(SourceElement.weights.map(\.rawValue).joined(separator: ", "))")
    }
    guard isShared || groups > 0 && tensor.count == groups * rows && tensor.shape[0] == rows else {
      throw FormatError(
        path: tensor.file.path, subject: "tensor \(tensor.name)",
        "has shape \(tensor.shape), which is not a number of scales for each of \(rows) rows")
    }
  }

  /// Whether half precision holds every scale of usual size exactly.
  var fitHalf: Bool { tensor.element == .f16 || tensor.element == .bf16 }

  /// [rows, groups]
  func values(_ rows: Range<Int>) throws -> [Float] {
    let first = isShared ? 0 : rows.lowerBound * groups
    let length = isShared ? 1 : rows.count * groups
    // A column of single elements, whatever the shape.
    let column = tensor.asColumn
    let found = try [Float](unsafeUninitializedCapacity: length) { buffer, count in
      try column.readFloats(first..<first + length, into: UnsafeMutableBufferPointer(rebasing: buffer[..<length]))
      count = length
    }
    return isShared ? [Float](repeating: found[0], count: rows.count) : found
  }
}

extension StoredTensor {
  /// The bytes of rows.
  func bytes(ofRows rows: Range<Int>) throws -> [UInt8] {
    try file.bytes(in: offset + rows.lowerBound * rowBytes..<offset + rows.upperBound * rowBytes)
  }

  /// The elements of a small tensor of integers.
  func integers() throws -> [Int] {
    let width = element.bits / 8
    let bytes = try file.bytes(in: offset..<offset + byteCount)
    return stride(from: 0, to: bytes.count, by: width).map { start in
      var value: UInt64 = 0
      for index in 0..<width { value |= UInt64(bytes[start + index]) << UInt64(8 * index) }
      let shift = UInt64(64 - 8 * width)
      let isSigned = [SourceElement.i8, .i16, .i32, .i64].contains(element)
      return isSigned ? Int(Int64(bitPattern: value << shift) >> Int64(shift)) : Int(truncatingIfNeeded: value)
    }
  }
}
