import Blocks
import Files
import Tensors

// Checkpoints store MXFP4 (OCP Microscaling Formats 1.0) in two tensors: the elements, two per byte, and a byte per 32 elements
// for the scale. Values and scales are those of GGUF's type MXFP4. Only the order of the nibbles differs:
//
//   checkpoint  byte i holds element 2i in its low and element 2i + 1 in its high nibble
//   GGUF        byte i holds element i in its low and element i + 16 in its high nibble, after the scale

/// MXFP4 in a tensor of nibbles and a tensor of scales.
struct MicroscaledRows: PackedRows {
  private let elements: StoredTensor
  private let scales: StoredTensor
  private let groups: Int

  /// Elements that share a scale.
  static let group = 32

  var blockType: GGMLType? { .mxfp4 }
  var floatType: GGMLType { .bf16 }

  /// - Parameters:
  ///   - elements: bytes, [.., columns / 2] or [.., columns / 32, 16].
  ///   - scales: bytes, [.., columns / 32].
  /// - Throws: `FormatError` if types or shapes do not fit.
  init(_ elements: StoredTensor, scales: StoredTensor) throws {
    self.elements = elements
    self.scales = scales
    groups = scales.columns
    func failure(_ tensor: StoredTensor, _ reason: String) -> FormatError {
      FormatError(path: tensor.file.path, subject: "tensor \(tensor.name)", reason)
    }
    for (tensor, types) in [(elements, [SourceElement.u8]), (scales, [.u8, .f8_e8m0])] {
      guard types.contains(tensor.element) else {
        throw failure(
          tensor, "is of type \(tensor.element.rawValue); MXFP4 has \(types.map(\.rawValue).joined(separator: " or "))")
      }
    }
    guard elements.byteCount == 16 * scales.byteCount, elements.shape.starts(with: scales.shape.dropLast()) else {
      throw failure(scales, "has shape \(scales.shape), but 32 elements of \(elements.shape) bytes share a scale")
    }
  }

  /// The shape of the unpacked tensor.
  var shape: [Int] { scales.shape.dropLast() + [groups * Self.group] }

  func readBlocks(_ rows: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws {
    let first = rows.lowerBound * groups
    let count = rows.count * groups
    let exponents = try scales.file.bytes(in: scales.offset + first..<scales.offset + first + count)
    if let block = exponents.firstIndex(of: 255) {
      throw FormatError(
        topic: .nonFiniteWeight, path: scales.file.path, subject: "tensor \(scales.name)",
        offset: scales.offset + first + block, "the scale in row \(rows.lowerBound + block / groups) is NaN")
    }
    let nibbles = try elements.file.bytes(
      in: elements.offset + 16 * first..<elements.offset + 16 * (first + count))
    nibbles.withUnsafeBytes { nibbles in
      for block in 0..<count {
        let target = 17 * block
        output[target] = exponents[block]
        for i in 0..<8 {
          let (low, high) = (nibbles[16 * block + i], nibbles[16 * block + 8 + i])
          output[target + 1 + 2 * i] = low & 15 | high << 4
          output[target + 2 + 2 * i] = low >> 4 | high & 0xF0
        }
      }
    }
  }

  func readFloats(_ rows: Range<Int>, into output: UnsafeMutableBufferPointer<Float>) throws {
    let size = rows.count * groups * 17
    let blocks = try [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
      try readBlocks(rows, into: UnsafeMutableRawBufferPointer(buffer))
      count = size
    }
    var span = MutableSpan(_unsafeElements: output)
    decodeRows(blocks.span.bytes, as: .mxfp4, into: &span)
  }
}
