import Tensors

// TQ2_0: 256 ternary weights in 66 bytes, 2.0625 bits per weight.
//
//    0  qs  two halves of 128 weights, 32 bytes each; byte l holds weights l, l + 32, l + 64, l + 96 from bit 0 up
//   64  d   half
//
// x = d * (q - 1). The format can hold q = 3, which decodes to 2 * d; the encoder never writes it.

enum BlockTQ2_0: BlockFormat {
  static var type: GGMLType { .tq2_0 }

  static func decode(_ block: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<Float>) {
    let d = block.half(at: 64)
    for part in 0..<8 {
      for l in 0..<32 {
        output[32 * part + l] = d * Float(Int32(block[part / 4 * 32 + l] >> UInt8(part % 4 * 2) & 3) - 1)
      }
    }
  }

  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>) {
    var q = InlineArray<256, UInt8>(repeating: 0)
    q.withBytes { q in
      for index in 0..<count {
        let block = output + 66 * index
        block.store(fitTernary(x + 256 * index, weights + 256 * index, into: q), at: 64)
        for l in 0..<32 {
          block[l] = q[l] | q[l + 32] << 2 | q[l + 64] << 4 | q[l + 96] << 6
          block[l + 32] = q[l + 128] | q[l + 160] << 2 | q[l + 192] << 4 | q[l + 224] << 6
        }
      }
    }
  }
}
