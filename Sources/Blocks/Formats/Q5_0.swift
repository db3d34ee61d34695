import Tensors

// Q5_0: 32 weights in 22 bytes, 5.5 bits per weight.
//
//   0  d   half
//   2  qh  fifth bits: bit j % 8 of byte j / 8 belongs to weight j
//   6  qs  byte l holds the low bits of weight l in its low and of weight l + 16 in its high nibble
//
// x = d * (q - 16)

enum BlockQ5_0: BlockFormat {
  static var type: GGMLType { .q5_0 }

  static func decode(_ block: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<Float>) {
    let d = block.half(at: 0)
    for l in 0..<16 {
      let high0 = block[2 + l / 8] >> UInt8(l % 8) & 1
      let high1 = block[4 + l / 8] >> UInt8(l % 8) & 1
      output[l] = d * Float(Int32(block[6 + l] & 15 | high0 << 4) - 16)
      output[l + 16] = d * Float(Int32(block[6 + l] >> 4 | high1 << 4) - 16)
    }
  }

  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>) {
    encodeScaled(Levels5.self, x, weights, count: count) { index, d, q in pack(d, q, into: output + 22 * index) }
  }

  /// Packs integers of weights plus 16.
  @inline(__always)
  static func pack(_ d: Float16, _ q: UnsafePointer<UInt8>, into block: UnsafeMutablePointer<UInt8>) {
    block.store(d, at: 0)
    for j in 0..<4 { block[2 + j] = fifthBits(q + 8 * j) }
    for l in 0..<16 { block[6 + l] = q[l] & 15 | (q[l + 16] & 15) << 4 }
  }
}

/// Bit 4 of eight bytes, the first byte's lowest.
@inline(__always) func fifthBits(_ q: UnsafePointer<UInt8>) -> UInt8 {
  // Byte j of `bits` is 0 or 1; the product's top byte collects them.
  let bits = UnsafeRawPointer(q).loadUnaligned(as: UInt64.self).littleEndian >> 4 & 0x0101_0101_0101_0101
  return UInt8(truncatingIfNeeded: (bits &* 0x0102_0408_1020_4080) >> 56)
}
