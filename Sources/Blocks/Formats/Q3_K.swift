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

  @inline(__always) static func fit(_ x: Floats, weights: Floats) -> ScaledSuperBlock {
    withLanes(x, weights, length: 16) { fitScaledSuperBlock(Levels3.self, $0, scaleLevels: 32) }
  }

  init(_ x: Floats, weights: Floats) {
    let fit = Self.fit(x, weights: weights)
    var q = InlineArray<256, UInt8>(repeating: 0)
    self = q.withBytes { q in
      for j in 0..<16 {
        let step = Float(fit.d) * Float(fit.scale(j))
        roundWhole(Levels3.self, x + 16 * j, count: 16, step: step, offset: 4, into: q + 16 * j)
      }
      return Self(SuperBlockScales(fit), q)
    }
  }

  /// Packs integers of weights plus 4, 0 to 7.
  init(_ stored: SuperBlockScales, _ q: UnsafePointer<UInt8>) {
    d = stored.d
    hmask = InlineArray(repeating: 0)
    qs = InlineArray(repeating: 0)
    scales = InlineArray(repeating: 0)
    for j in 0..<16 {
      let bits = UInt8(stored.scales[j] + 32)
      scales[j % 8] |= (bits & 15) << (j < 8 ? 0 : 4)
      scales[8 + j % 4] |= (bits >> 4) << UInt8(j / 4 * 2)
    }
    for l in 0..<32 {
      qs[l] = q[l] & 3 | (q[l + 32] & 3) << 2 | (q[l + 64] & 3) << 4 | (q[l + 96] & 3) << 6
      qs[l + 32] = q[l + 128] & 3 | (q[l + 160] & 3) << 2 | (q[l + 192] & 3) << 4 | (q[l + 224] & 3) << 6
      var high: UInt8 = 0
      for j in 0..<8 { high |= (q[32 * j + l] >> 2) << UInt8(j) }
      hmask[l] = high
    }
  }
}
