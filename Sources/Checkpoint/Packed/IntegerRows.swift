import Files
import Tensors

/// Integers of 2 to 8 bits with scales for groups of columns, as compressed-tensors stores them: packed into words of 32
/// bits (`pack-quantized`), or one per byte (`int-quantized`).
///
///   x = (q - zero) * scale, with zero = 2^(bits - 1) where the integers are packed and have no zero points
struct IntegerRows: PackedRows {
  private let elements: StoredTensor
  private let scales: GroupScales
  /// One per scale, packed along the rows if the elements are packed.
  private let zeros: StoredTensor?
  /// The scale of every column; nil for consecutive columns.
  private let order: StoredTensor?
  private let bits: Int
  private let columns: Int
  private let rows: Int
  let shape: [Int]

  var floatType: GGMLType { scales.tensor.element.nearestType }

  /// Q4_0 and Q8_0 have the same integers and half-precision scales of 32 columns.
  var blockType: GGMLType? {
    guard zeros == nil, order == nil, scales.fitHalf, columns % 32 == 0, columns / scales.groups % 32 == 0 else {
      return nil
    }
    return bits == 4 ? .q4_0 : bits == 8 ? .q8_0 : nil
  }

  /// Integers per word; nil if each has a byte of its own.
  private var perWord: Int? { elements.element == .i32 ? 32 / bits : nil }

  /// - Parameters:
  ///   - shape: rows and columns of the weights.
  ///   - bits: of an integer.
  init(
    _ elements: StoredTensor, shape: [Int], bits: Int, scales: StoredTensor, zeros: StoredTensor?, order: StoredTensor?
  ) throws {
    self.elements = elements
    self.shape = shape
    self.bits = bits
    self.zeros = zeros
    self.order = order
    (rows, columns) = (shape[0], shape[1])
    func failure(_ tensor: StoredTensor, _ reason: String) -> FormatError {
      FormatError(path: tensor.file.path, subject: "tensor \(tensor.name)", reason)
    }
    self.scales = try GroupScales(scales, rows: rows)
    guard columns % self.scales.groups == 0 || order != nil else {
      throw failure(scales, "has \(self.scales.groups) groups, which do not divide \(columns) columns")
    }
    let isPacked = elements.element == .i32
    let width = isPacked ? (columns + 32 / bits - 1) / (32 / bits) : columns
    guard elements.shape == [rows, width] else {
      throw failure(elements, "has shape \(elements.shape), and \(shape) of \(bits) bits has \([rows, width])")
    }
    if let zeros {
      let zeroRows = isPacked ? (rows + 32 / bits - 1) / (32 / bits) : rows
      guard zeros.count == zeroRows * self.scales.groups, zeros.element == elements.element else {
        throw failure(zeros, "has shape \(zeros.shape) of \(zeros.element.rawValue), unlike scales and weights")
      }
    }
    if let order, order.count != columns || order.element != .i32 {
      throw failure(order, "has shape \(order.shape) of \(order.element.rawValue), and not an I32 for each column")
    }
  }

  /// Calls `body` with the integers of each row, less their zero points, and the row's scales.
  private func forEachRow(
    _ range: Range<Int>, _ body: (_ row: Int, _ integers: [Int32], _ scales: ArraySlice<Float>) throws -> Void
  ) throws {
    let bytes = try elements.bytes(ofRows: range)
    let values = try scales.values(range)
    let groups = scales.groups
    let group = try groupOfColumn()
    let zero = try zeroPoints(range)
    let middle: Int32 = perWord == nil ? 0 : 1 << Int32(bits - 1)
    var integers = [Int32](repeating: 0, count: columns)
    for row in 0..<range.count {
      let start = row * elements.rowBytes
      if let perWord {
        let mask = UInt32(1) << UInt32(bits) - 1
        for column in 0..<columns {
          let word = bytes.withUnsafeBytes {
            UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: start + column / perWord * 4, as: UInt32.self))
          }
          integers[column] = Int32(word >> UInt32(column % perWord * bits) & mask) - middle
        }
      } else {
        for column in 0..<columns { integers[column] = Int32(Int8(bitPattern: bytes[start + column])) }
      }
      if let zero {
        for column in 0..<columns { integers[column] -= zero[row * groups + group(column)] - middle }
      }
      try body(row, integers, values[row * groups..<(row + 1) * groups])
    }
  }

  private func groupOfColumn() throws -> (Int) -> Int {
    let size = columns / scales.groups
    guard let order else { return { $0 / size } }
    let groups = try order.integers()
    if groups.allSatisfy({ $0 == -1 }) { return { $0 / size } }
    guard groups.allSatisfy((0..<scales.groups).contains) else {
      throw FormatError(
        path: order.file.path, subject: "tensor \(order.name)", "names a group beyond \(scales.groups - 1)")
    }
    return { groups[$0] }
  }

  /// [rows, groups]; packed along the rows.
  private func zeroPoints(_ range: Range<Int>) throws -> [Int32]? {
    guard let zeros else { return nil }
    let groups = scales.groups
    guard let perWord else { return try zeros.bytes(ofRows: range).map { Int32(Int8(bitPattern: $0)) } }
    let first = range.lowerBound / perWord
    let last = (range.upperBound - 1) / perWord
    let bytes = try zeros.file.bytes(
      in: zeros.offset + first * groups * 4..<zeros.offset + (last + 1) * groups * 4)
    let mask = UInt32(1) << UInt32(bits) - 1
    return bytes.withUnsafeBytes { bytes in
      range.flatMap { row in
        (0..<groups).map { group in
          let offset = ((row / perWord - first) * groups + group) * 4
          let word = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
          return Int32(word >> UInt32(row % perWord * bits) & mask)
        }
      }
    }
  }

  func readFloats(_ rows: Range<Int>, into output: UnsafeMutableBufferPointer<Float>) throws {
    guard !rows.isEmpty else { return }
    let group = try groupOfColumn()
    try forEachRow(rows) { row, integers, scales in
      for column in 0..<columns {
        output[row * columns + column] = Float(integers[column]) * scales[scales.startIndex + group(column)]
      }
    }
  }

  func readBlocks(_ rows: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws {
    guard !rows.isEmpty else { return }
    let blocks = columns / 32
    let blockBytes = bits == 4 ? 18 : 34
    let blocksPerGroup = blocks / scales.groups
    try forEachRow(rows) { row, integers, scales in
      for block in 0..<blocks {
        let start = (row * blocks + block) * blockBytes
        let scale = Float16(scales[scales.startIndex + block / blocksPerGroup])
        guard scale.isFinite else {
          throw FormatError(
            topic: .nonFiniteWeight, path: self.scales.tensor.file.path, subject: "tensor \(self.scales.tensor.name)",
            "the scale in row \(rows.lowerBound + row) is beyond half precision")
        }
        output.storeBytes(of: scale.bitPattern.littleEndian, toByteOffset: start, as: UInt16.self)
        let first = 32 * block
        if bits == 4 {
          for i in 0..<16 {
            output[start + 2 + i] = UInt8(integers[first + i] + 8) | UInt8(integers[first + i + 16] + 8) << 4
          }
        } else {
          for i in 0..<32 { output[start + 2 + i] = UInt8(bitPattern: Int8(integers[first + i])) }
        }
      }
    }
  }
}
