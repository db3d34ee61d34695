import Tensors

// Q4_1: 32 weights in 20 bytes, 5 bits per weight.
//
//   0  d   half
//   2  m   half
//   4  qs  byte l holds weight l in its low and weight l + 16 in its high nibble
//
// x = d * q + m

enum BlockQ4_1: BlockFormat {
  static var type: GGMLType { .q4_1 }

  static func decode(_ block: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<Float>) {
    let d = block.half(at: 0)
    let m = block.half(at: 2)
    for l in 0..<16 {
      output[l] = d * Float(block[4 + l] & 15) + m
      output[l + 16] = d * Float(block[4 + l] >> 4) + m
    }
  }

  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>) {
    encodeAffine(shape, x, weights, count: count) { index, d, m, q in pack(d, m, q, into: output + 20 * index) }
  }

  static var shape: AffineShape {
    AffineShape(length: 32, levels: 15, clipOffsets: ClipOffsets(first: -0.5, step: 0.3, count: 6))
  }

  /// Packs integers of weights.
  @inline(__always)
  static func pack(_ d: Float16, _ m: Float16, _ q: UnsafePointer<UInt8>, into block: UnsafeMutablePointer<UInt8>) {
    block.store(d, at: 0)
    block.store(m, at: 2)
    for l in 0..<16 { block[4 + l] = q[l] | q[l + 16] << 4 }
  }
}
