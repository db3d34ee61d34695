import Tensors

// Q8_0: 32 weights in 34 bytes, 8.5 bits per weight.
//
//   0  d   half
//   2  qs  32 signed bytes
//
// x = d * q. The encoder never writes -128, which kernels that take absolute values of bytes need not expect.

enum BlockQ8_0: BlockFormat {
  static var type: GGMLType { .q8_0 }

  static func decode(_ block: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<Float>) {
    let d = block.half(at: 0)
    for i in 0..<32 { output[i] = d * Float(Int8(bitPattern: block[2 + i])) }
  }

  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>) {
    encodeScaled(Levels8.self, offset: 0, x, weights, count: count) { index, d, q in
      pack(d, q, into: output + 34 * index)
    }
  }

  /// Packs integers of weights, as signed bytes.
  @inline(__always)
  static func pack(_ d: Float16, _ q: UnsafePointer<UInt8>, into block: UnsafeMutablePointer<UInt8>) {
    block.store(d, at: 0)
    (block + 2).update(from: q, count: 32)
  }
}
