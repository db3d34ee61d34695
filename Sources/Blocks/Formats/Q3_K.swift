import Tensors

// Q3_K: 256 weights in 110 bytes, 3.4375 bits per weight.
//
//     0  hmask   third bits, one for a weight: bit j of byte l belongs to weight 32 * j + l; a clear bit subtracts 4
//    32  qs      low 2 bits: two halves of 128 weights, 32 bytes each; byte l holds weights l, l + 32, l + 64, l + 96
//    96  scales  16 six-bit scales, offset by 32, one for 16 weights: bytes 0-7 hold the low nibbles of scales 0-7 (low)
//                and 8-15 (high); byte 8 + j % 4 holds the high bits of scale j at bit 2 * (j / 4)
//   108  d       half
//
// x = (d * (scale - 32)) * q with q from -4 to 3

struct BlockQ3_K: Block {
  var hmask: InlineArray<32, UInt8>
  var qs: InlineArray<64, UInt8>
  var scales: InlineArray<12, UInt8>
  var d: Float16

  static var type: GGMLType { .q3_K }

  func decode(into output: UnsafeMutablePointer<Float>) {
    let d = Float(d)
    for j in 0..<16 {
      let low = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4
      let scale = Int(low | ((scales[8 + j % 4] >> UInt8(j / 4 * 2)) & 3) << 4) - 32
      let step = d * Float(scale)
      let shift = UInt8(j % 8 / 2 * 2)
      let source = 32 * (j / 8) + 16 * (j % 2)
      for l in 0..<16 {
        let high = hmask[16 * (j % 2) + l] >> UInt8(j / 2) & 1
        output[16 * j + l] = step * Float(Int(qs[source + l] >> shift & 3) - (high == 1 ? 0 : 4))
      }
    }
  }

  init(_ x: Floats, weights: Floats) {
    let fit = fitSymmetricSuperBlock(x, weights, SymmetricShape(levels: 4, scaleLevels: 32))
    d = fit.d
    hmask = InlineArray(repeating: 0)
    qs = InlineArray(repeating: 0)
    scales = InlineArray(repeating: 0)
    for j in 0..<16 {
      let scale = UInt8(Int(fit.scales[j]) + 32)
      scales[j % 8] |= (scale & 15) << (j < 8 ? 0 : 4)
      scales[8 + j % 4] |= (scale >> 4) << UInt8(j / 4 * 2)
    }
    for i in 0..<256 {
      let q = UInt8(Int(fit.q[i]) + 4)
      qs[32 * (i / 128) + i % 32] |= (q & 3) << UInt8(i % 128 / 32 * 2)
      hmask[i % 32] |= (q >> 2) << UInt8(i / 32)
    }
  }
}
