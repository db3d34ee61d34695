import Tensors

// Q4_0: 32 weights in 18 bytes, 4.5 bits per weight.
//
//   0  d   half
//   2  qs  byte l holds weight l in its low and weight l + 16 in its high nibble
//
// x = d * (q - 8)

enum BlockQ4_0: BlockFormat {
  static var type: GGMLType { .q4_0 }

  static func decode(_ block: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<Float>) {
    let d = block.half(at: 0)
    for l in 0..<16 {
      output[l] = d * Float(Int32(block[2 + l] & 15) - 8)
      output[l + 16] = d * Float(Int32(block[2 + l] >> 4) - 8)
    }
  }

  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>) {
    encodeScaled(Levels4.self, x, weights, count: count) { index, d, q in pack(d, q, into: output + 18 * index) }
  }

  /// Packs integers of weights plus 8.
  @inline(__always)
  static func pack(_ d: Float16, _ q: UnsafePointer<UInt8>, into block: UnsafeMutablePointer<UInt8>) {
    block.store(d, at: 0)
    for l in 0..<16 { block[2 + l] = q[l] | q[l + 16] << 4 }
  }
}
