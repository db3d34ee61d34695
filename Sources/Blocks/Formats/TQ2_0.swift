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
    for index in 0..<count {
      let block = output + 66 * index
      let fit = fitTernary(x + 256 * index, weights + 256 * index)
      block.store(fit.d, at: 64)
      for l in 0..<64 {
        let i = l / 32 * 128 + l % 32
        block[l] = fit.q[i] | fit.q[i + 32] << 2 | fit.q[i + 64] << 4 | fit.q[i + 96] << 6
      }
    }
  }
}
