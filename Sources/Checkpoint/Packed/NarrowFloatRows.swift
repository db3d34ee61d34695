import Files
import Tensors

/// NVFP4: elements of E2M1, two per byte, with a scale of E4M3 for 16 of them, and one factor for the whole tensor.
struct NarrowFloatRows: PackedRows {
  private let elements: StoredTensor
  private let scales: StoredTensor
  private let factor: Float
  private let groups: Int

  /// Elements that share a scale.
  static let group = 16
  /// The values of E2M1.
  private static let levels: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6]

  var blockType: GGMLType? { nil }
  var floatType: GGMLType { .bf16 }
  var shape: [Int] { scales.shape.dropLast() + [groups * Self.group] }

  /// - Parameters:
  ///   - elements: bytes [.., columns / 2].
  ///   - scales: E4M3 [.., columns / 16].
  ///   - divides: whether `global` divides (compressed-tensors) instead of multiplying (ModelOpt).
  init(_ elements: StoredTensor, scales: StoredTensor, global: StoredTensor, divides: Bool) throws {
    self.elements = elements
    self.scales = scales
    groups = scales.columns
    func failure(_ tensor: StoredTensor, _ reason: String) -> FormatError {
      FormatError(path: tensor.file.path, subject: "tensor \(tensor.name)", reason)
    }
    guard elements.element == .u8, scales.element == .f8_e4m3 else {
      throw failure(scales, "is of type \(scales.element.rawValue), and NVFP4 has scales of F8_E4M3")
    }
    guard elements.byteCount == 8 * scales.byteCount, elements.shape.starts(with: scales.shape.dropLast()) else {
      throw failure(scales, "has shape \(scales.shape), but 16 elements of \(elements.shape) bytes share a scale")
    }
    guard global.count == 1, global.element == .f32 else {
      throw failure(global, "has shape \(global.shape) of \(global.element.rawValue), and NVFP4 has one F32")
    }
    let value = try GroupScales(global, rows: 1).values(0..<1)[0]
    guard value.isFinite, value > 0 else { throw failure(global, "is \(value), which is not a positive number") }
    factor = divides ? 1 / value : value
  }

  func readBlocks(_ rows: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws {
    preconditionFailure("NVFP4 is decoded")
  }

  func readFloats(_ rows: Range<Int>, into output: UnsafeMutableBufferPointer<Float>) throws {
    let first = rows.lowerBound * groups
    let count = rows.count * groups
    let exponents = try scales.file.bytes(in: scales.offset + first..<scales.offset + first + count)
    let nibbles = try elements.file.bytes(
      in: elements.offset + 8 * first..<elements.offset + 8 * (first + count))
    nibbles.withUnsafeBytes { nibbles in
      for block in 0..<count {
        // The product with the scale is exact, so that a weight is rounded once.
        let scale = float8(exponents[block], as: .f8_e4m3)
        for i in 0..<8 {
          let byte = nibbles[8 * block + i]
          output[16 * block + 2 * i] = Self.levels[Int(byte & 15)] * scale * factor
          output[16 * block + 2 * i + 1] = Self.levels[Int(byte >> 4)] * scale * factor
        }
      }
    }
  }
}
