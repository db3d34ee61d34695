import Tensors

// A block decodes to finite numbers exactly if its scales are finite: everything else in it is a small integer. So a file
// can be checked at reading speed, without decoding.

/// The first block of `bytes` with a scale that is NaN or infinite (or, of float types, the first such element).
///
/// `bytes` holds whole blocks. Integer types have no scales: the result is nil.
public func firstNonFiniteBlock(_ bytes: RawSpan, as type: GGMLType) -> Int? {
  precondition(bytes.byteCount % type.blockBytes == 0, "\(bytes.byteCount) bytes of \(type)")
  let count = bytes.byteCount / type.blockBytes
  return bytes.withUnsafeBytes { bytes in
    switch type {
    case .i8, .i16, .i32, .i64: nil
    case .f32: firstWithExponent(bytes, count, of: UInt32.self, mask: 0x7F80_0000)
    case .f16: firstWithExponent(bytes, count, of: UInt16.self, mask: 0x7C00)
    case .bf16: firstWithExponent(bytes, count, of: UInt16.self, mask: 0x7F80)
    case .f64: firstWithExponent(bytes, count, of: UInt64.self, mask: 0x7FF0_0000_0000_0000)
    case .mxfp4:
      // The byte is an exponent; 255 is its NaN.
      (0..<count).first { bytes[$0 * type.blockBytes] == 255 }
    case .iq1_m:
      // The scale's four nibbles are the upper ones of four 16-bit words; its exponent spans the upper two.
      (0..<count).first { block in
        let words = block * type.blockBytes + 48
        let high = UInt16(bytes[words + 7] >> 4) << 12 | UInt16(bytes[words + 5] >> 4) << 8
        return high & 0x7C00 == 0x7C00
      }
    case _ where type.affine?.scales == .bf16:
      (0..<count).first { block in
        [0, 2].contains { offset in
          let word = bytes.loadUnaligned(fromByteOffset: block * type.blockBytes + offset, as: UInt16.self)
          return UInt16(littleEndian: word) & 0x7F80 == 0x7F80
        }
      }
    default:
      (0..<count).first { block in
        type.scaleOffsets.contains { offset in
          let half = bytes.loadUnaligned(fromByteOffset: block * type.blockBytes + offset, as: UInt16.self)
          return UInt16(littleEndian: half) & 0x7C00 == 0x7C00
        }
      }
    }
  }
}

extension GGMLType {
  /// Byte offsets of a block's IEEE half-precision scales.
  var scaleOffsets: [Int] {
    switch self {
    case .q4_0, .q5_0, .q8_0, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s, .iq1_s, .iq4_nl, .iq4_xs: [0]
    case .q4_1, .q5_1, .q4_K, .q5_K: [0, 2]
    case .q2_K: [80, 82]
    case .q3_K: [108]
    case .q6_K: [208]
    case .tq1_0: [52]
    case .tq2_0: [64]
    case .f32, .f16, .bf16, .f64, .i8, .i16, .i32, .i64, .mxfp4, .iq1_m: []
    default: [0, 2]
    }
  }
}

/// The first element whose exponent bits are all set, which makes it NaN or infinite.
private func firstWithExponent<Word: FixedWidthInteger>(
  _ bytes: UnsafeRawBufferPointer, _ count: Int, of: Word.Type, mask: Word
) -> Int? {
  let width = MemoryLayout<Word>.size
  var start = 0
  while start < count {
    // 256 elements without a branch or a check each, so that the compiler vectorises this loop. No exponent is above the mask.
    let end = min(count, start + 256)
    let part = UnsafeRawBufferPointer(rebasing: bytes[start * width..<end * width])
    var largest: Word = 0
    for index in 0..<end - start {
      let word = Word(littleEndian: part.loadUnaligned(fromByteOffset: index &* width, as: Word.self))
      largest = max(largest, word & mask)
    }
    if largest == mask {
      return (start..<end).first { index in
        Word(littleEndian: bytes.loadUnaligned(fromByteOffset: index * width, as: Word.self)) & mask == mask
      }
    }
    start = end
  }
  return nil
}
