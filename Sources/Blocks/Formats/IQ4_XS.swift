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
    for index in 0..<count { encode(x + 256 * index, weights: weights + 256 * index, into: output + 136 * index) }
  }

  @inline(__always) static func fit(_ x: Floats, weights: Floats) -> ScaledSuperBlock {
    withLanes(x, weights, length: 32) { fitScaledSuperBlock(LevelsIQ4.self, $0, scaleLevels: 32) }
  }

  private static func encode(_ x: Floats, weights: Floats, into block: UnsafeMutablePointer<UInt8>) {
    let fit = fit(x, weights: weights)
    var q = InlineArray<256, UInt8>(repeating: 0)
    q.withBytes { q in
      for j in 0..<8 { roundIQ4(x + 32 * j, step: Float(fit.d) * Float(fit.scale(j)), into: q + 32 * j) }
      pack(SuperBlockScales(fit), q, into: block)
    }
  }

  /// Packs indices of levels.
  static func pack(_ stored: SuperBlockScales, _ q: UnsafePointer<UInt8>, into block: UnsafeMutablePointer<UInt8>) {
    block.store(stored.d, at: 0)
    (block + 2).update(repeating: 0, count: 6)
    for j in 0..<8 {
      for l in 0..<16 { block[8 + 16 * j + l] = q[32 * j + l] | q[32 * j + l + 16] << 4 }
      let bits = UInt8(stored.scales[j] + 32)
      block[4 + j / 2] |= (bits & 15) << UInt8(j % 2 * 4)
      block[2 + j / 4] |= (bits >> 4) << UInt8(j % 4 * 2)
    }
  }
}
