import Tensors

// IQ4_XS: 256 weights in 136 bytes, 4.25 bits per weight, with the levels of IQ4_NL.
//
//   0  d         half
//   2  scales_h  high 2 bits of eight 6-bit scales, from bit 0 up, little-endian
//   4  scales_l  low nibbles of the scales, two a byte, low nibble first
//   8  qs        16 bytes for 32 weights: byte l holds weight l in its low and weight l + 16 in its high nibble
//
// x = (d * (scale - 32)) * levels[q]

enum BlockIQ4_XS: BlockFormat {
  static var type: GGMLType { .iq4_xs }

  static func decode(_ block: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<Float>) {
    let d = block.half(at: 0)
    let high = UInt16(block[2]) | UInt16(block[3]) << 8
    for j in 0..<8 {
      let scale = block[4 + j / 2] >> UInt8(j % 2 * 4) & 15 | UInt8(truncatingIfNeeded: high >> UInt16(2 * j) & 3) << 4
      let step = d * Float(Int32(scale) - 32)
      for l in 0..<16 {
        let byte = block[8 + 16 * j + l]
        output[32 * j + l] = step * iq4Levels[Int(byte & 15)]
        output[32 * j + l + 16] = step * iq4Levels[Int(byte >> 4)]
      }
    }
  }

  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>) {
    for index in 0..<count { encode(x + 256 * index, into: output + 136 * index) }
  }

  private static func encode(_ x: Floats, into block: UnsafeMutablePointer<UInt8>) {
    var extreme: Float = 0
    var fits = InlineArray<8, Float>(repeating: 0)
    for j in 0..<8 {
      fits[j] = roundToLevels(x + 32 * j).scale
      if abs(fits[j]) > abs(extreme) { extreme = fits[j] }
    }
    let d = half(-extreme / 32)
    block.store(d, at: 0)
    (block + 2).update(repeating: 0, count: 6)
    for j in 0..<8 {
      let scale = d != 0 ? max(-32, min(31, (fits[j] / Float(d)).rounded())) : 0
      let q = nearestLevels(x + 32 * j, step: Float(d) * scale)
      for l in 0..<16 { block[8 + 16 * j + l] = q[l] | q[l + 16] << 4 }
      let bits = UInt8(Int(scale) + 32)
      block[4 + j / 2] |= (bits & 15) << UInt8(j % 2 * 4)
      block[2 + j / 4] |= (bits >> 4) << UInt8(j % 4 * 2)
    }
  }
}
