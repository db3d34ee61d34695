import Tensors

// Q6_K: 256 weights in 210 bytes, 6.5625 bits per weight.
//
//     0  ql      low 4 bits: two halves of 128 weights, 64 bytes each; byte l of a half holds weight l in its low and
//                weight l + 64 in its high nibble
//   128  qh      high 2 bits: 32 bytes a half; byte l holds weights l, l + 32, l + 64, l + 96 from bit 0 up
//   192  scales  16 signed bytes, one for 16 weights
//   208  d       half
//
// x = (d * scale) * (q - 32)

struct BlockQ6_K: Block {
  var ql: InlineArray<128, UInt8>
  var qh: InlineArray<64, UInt8>
  var scales: InlineArray<16, Int8>
  var d: Float16

  static var type: GGMLType { .q6_K }

  func decode(into output: UnsafeMutablePointer<Float>) {
    let d = Float(d)
    for part in 0..<2 {
      let base = 128 * part
      for l in 0..<32 {
        let high = qh[32 * part + l]
        let first = ql[64 * part + l]
        let second = ql[64 * part + 32 + l]
        let s = 8 * part + l / 16
        output[base + l] = d * Float(scales[s]) * Float(Int(first & 15 | (high & 3) << 4) - 32)
        output[base + 32 + l] = d * Float(scales[s + 2]) * Float(Int(second & 15 | (high >> 2 & 3) << 4) - 32)
        output[base + 64 + l] = d * Float(scales[s + 4]) * Float(Int(first >> 4 | (high >> 4 & 3) << 4) - 32)
        output[base + 96 + l] = d * Float(scales[s + 6]) * Float(Int(second >> 4 | (high >> 6) << 4) - 32)
      }
    }
  }

  @inline(__always) static func fit(_ x: Floats, weights: Floats) -> ScaledSuperBlock {
    withLanes(x, weights, length: 16, magnitudeWeight: Levels6.magnitudeWeight) {
      fitScaledSuperBlock(Levels6.self, $0, scaleLevels: 128)
    }
  }

  init(_ x: Floats, weights: Floats) {
    let fit = Self.fit(x, weights: weights)
    var q = InlineArray<256, UInt8>(repeating: 0)
    self = q.withBytes { q in
      for j in 0..<16 {
        let step = Float(fit.d) * Float(fit.scale(j))
        roundWhole(Levels6.self, x + 16 * j, count: 16, step: step, offset: 32, into: q + 16 * j)
      }
      return Self(SuperBlockScales(fit), q)
    }
  }

  /// Packs integers of weights plus 32, 0 to 63.
  init(_ stored: SuperBlockScales, _ q: UnsafePointer<UInt8>) {
    ql = InlineArray(repeating: 0)
    qh = InlineArray(repeating: 0)
    scales = InlineArray(repeating: 0)
    d = stored.d
    for j in 0..<16 { scales[j] = Int8(stored.scales[j]) }
    for part in 0..<2 {
      let q = q + 128 * part
      for l in 0..<32 {
        ql[64 * part + l] = q[l] & 15 | (q[l + 64] & 15) << 4
        ql[64 * part + 32 + l] = q[l + 32] & 15 | (q[l + 96] & 15) << 4
        qh[32 * part + l] = q[l] >> 4 | (q[l + 32] >> 4) << 2 | (q[l + 64] >> 4) << 4 | (q[l + 96] >> 4) << 6
      }
    }
  }
}
