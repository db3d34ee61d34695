import Files
import Tensors

/// Integers as GPTQ stores them: `qweight` [columns / n, rows] with n columns per word, `scales` [groups, rows] and `qzeros`
/// [groups, rows / n].
///
///   x = (q - zero) * scale, with zero = the stored number + 1; in files of version 2 the stored number
struct TransposedIntegerRows: PackedRows {
  private let elements: StoredTensor
  private let scales: StoredTensor
  private let zeros: StoredTensor
  /// The group of every column; nil for consecutive columns.
  private let order: StoredTensor?
  private let bits: Int
  private let zeroOffset: Int32
  private let rows: Int
  private let columns: Int
  private let groups: Int

  var blockType: GGMLType? { nil }
  var floatType: GGMLType { scales.element.nearestType }
  var shape: [Int] { [rows, columns] }
  private var perWord: Int { 32 / bits }

  /// - Parameters:
  ///   - order: `g_idx`, the group of every column.
  ///   - zeroOffset: is added to the stored zero points.
  init(
    _ elements: StoredTensor, bits: Int, scales: StoredTensor, zeros: StoredTensor, order: StoredTensor?,
    zeroOffset: Int
  ) throws {
    self.elements = elements
    self.bits = bits
    self.scales = scales
    self.zeros = zeros
    self.order = order
    self.zeroOffset = Int32(zeroOffset)
    func failure(_ tensor: StoredTensor, _ reason: String) -> FormatError {
      FormatError(path: tensor.file.path, subject: "tensor \(tensor.name)", reason)
    }
    for tensor in [elements, zeros] where tensor.element != .i32 || tensor.shape.count != 2 {
      throw failure(tensor, "has shape \(tensor.shape) of \(tensor.element.rawValue), and GPTQ has a matrix of I32")
    }
    guard [SourceElement.f16, .bf16, .f32].contains(scales.element), scales.shape.count == 2 else {
      throw failure(
        scales, "has shape \(scales.shape) of \(scales.element.rawValue), and GPTQ has a matrix of F16, BF16 or F32")
    }
    rows = elements.shape[1]
    columns = elements.shape[0] * (32 / bits)
    groups = scales.shape[0]
    guard scales.shape[1] == rows, groups > 0, rows % (32 / bits) == 0, zeros.shape == [groups, rows / (32 / bits)]
    else {
      throw failure(scales, "has shape \(scales.shape), which does not belong to \(bits) bits in \(elements.shape)")
    }
    guard columns % groups == 0 || order != nil else {
      throw failure(scales, "has \(groups) groups, which do not divide \(columns) columns")
    }
    if let order, order.count != columns || order.element != .i32 {
      throw failure(order, "has shape \(order.shape) of \(order.element.rawValue), and not an I32 for each column")
    }
  }

  func readBlocks(_ rows: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws {
    preconditionFailure("GPTQ is decoded")
  }

  func readFloats(_ range: Range<Int>, into output: UnsafeMutableBufferPointer<Float>) throws {
    guard !range.isEmpty else { return }
    let groupOf = try groupOfColumn()
    let scale = try scaleValues(range)
    let zero = try zeroPoints(range)
    let mask = UInt32(1) << UInt32(bits) - 1
    for word in 0..<columns / perWord {
      let start = elements.offset + (word * rows + range.lowerBound) * 4
      let bytes = try elements.file.bytes(in: start..<start + range.count * 4)
      bytes.withUnsafeBytes { bytes in
        for row in 0..<range.count {
          let packed = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * row, as: UInt32.self))
          for part in 0..<perWord {
            let column = word * perWord + part
            let group = groupOf[column]
            let integer = Int32(packed >> UInt32(part * bits) & mask) - zero[group * range.count + row]
            output[row * columns + column] = Float(integer) * scale[group * range.count + row]
          }
        }
      }
    }
  }

  private func groupOfColumn() throws -> [Int] {
    guard let order else { return (0..<columns).map { $0 / (columns / groups) } }
    let result = try order.integers()
    guard result.allSatisfy((0..<groups).contains) else {
      throw FormatError(path: order.file.path, subject: "tensor \(order.name)", "names a group beyond \(groups - 1)")
    }
    return result
  }

  /// [groups, rows of the range]
  private func scaleValues(_ range: Range<Int>) throws -> [Float] {
    let column = scales.asColumn
    return try (0..<groups).flatMap { group in
      try [Float](unsafeUninitializedCapacity: range.count) { buffer, count in
        try column.readFloats(
          group * rows + range.lowerBound..<group * rows + range.upperBound,
          into: UnsafeMutableBufferPointer(rebasing: buffer[..<range.count]))
        count = range.count
      }
    }
  }

  /// [groups, rows of the range]
  private func zeroPoints(_ range: Range<Int>) throws -> [Int32] {
    let width = rows / perWord
    let words = range.lowerBound / perWord..<(range.upperBound - 1) / perWord + 1
    let mask = UInt32(1) << UInt32(bits) - 1
    return try (0..<groups).flatMap { group in
      let start = zeros.offset + (group * width + words.lowerBound) * 4
      let bytes = try zeros.file.bytes(in: start..<start + words.count * 4)
      return bytes.withUnsafeBytes { bytes in
        range.map { row in
          let offset = (row / perWord - words.lowerBound) * 4
          let word = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
          return Int32(word >> UInt32(row % perWord * bits) & mask) + zeroOffset
        }
      }
    }
  }
}
