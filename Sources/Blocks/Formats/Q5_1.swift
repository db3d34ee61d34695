import Tensors

// Q5_1: 32 weights in 24 bytes, 6 bits per weight.
//
//   0  d   half
//   2  m   half
//   4  qh  fifth bits: bit j % 8 of byte j / 8 belongs to weight j
//   8  qs  byte l holds the low bits of weight l in its low and of weight l + 16 in its high nibble
//
// x = d * q + m

enum BlockQ5_1: BlockFormat {
  static var type: GGMLType { .q5_1 }

  static func decode(_ block: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<Float>) {
    let d = block.half(at: 0)
    let m = block.half(at: 2)
    for l in 0..<16 {
      let high0 = block[4 + l / 8] >> UInt8(l % 8) & 1
      let high1 = block[6 + l / 8] >> UInt8(l % 8) & 1
      output[l] = d * Float(block[8 + l] & 15 | high0 << 4) + m
      output[l + 16] = d * Float(block[8 + l] >> 4 | high1 << 4) + m
    }
  }

  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>) {
    encodeAffine(shape, x, weights, count: count) { index, d, m, q in pack(d, m, q, into: output + 24 * index) }
  }

  static var shape: AffineShape {
    AffineShape(length: 32, levels: 31, clipOffsets: ClipOffsets(first: -0.5, step: 0.3, count: 6))
  }

  /// Packs integers of weights.
  @inline(__always)
  static func pack(_ d: Float16, _ m: Float16, _ q: UnsafePointer<UInt8>, into block: UnsafeMutablePointer<UInt8>) {
    block.store(d, at: 0)
    block.store(m, at: 2)
    for j in 0..<4 { block[4 + j] = fifthBits(q + 8 * j) }
    for l in 0..<16 { block[8 + l] = q[l] & 15 | (q[l + 16] & 15) << 4 }
  }
}
