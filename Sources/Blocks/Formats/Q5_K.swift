import Tensors

// Q5_K: 256 weights in 176 bytes, 5.5 bits per weight.
//
//    0  d       half: scale of the scales
//    2  dmin    half: scale of the mins
//    4  scales  eight 6-bit scales and mins (ScalesK4), one pair for 32 weights
//   16  qh      fifth bits: bit j of byte l belongs to weight l of sub-block j
//   48  qs      four groups of 64 weights: byte l of a group holds weight l in its low and l + 32 in its high nibble
//
// x = (d * scale) * q - dmin * min

struct BlockQ5_K: Block {
  var d: Float16
  var dmin: Float16
  var scales: ScalesK4
  var qh: InlineArray<32, UInt8>
  var qs: InlineArray<128, UInt8>

  static var type: GGMLType { .q5_K }

  func decode(into output: UnsafeMutablePointer<Float>) {
    let d = Float(d)
    let dmin = Float(dmin)
    for group in 0..<4 {
      let (scale1, min1) = scales[2 * group]
      let (scale2, min2) = scales[2 * group + 1]
      let (d1, m1) = (d * Float(scale1), dmin * Float(min1))
      let (d2, m2) = (d * Float(scale2), dmin * Float(min2))
      for l in 0..<32 {
        let byte = qs[32 * group + l]
        let high = qh[l] >> (2 * UInt8(group))
        output[64 * group + l] = d1 * Float(byte & 15 | (high & 1) << 4) - m1
        output[64 * group + 32 + l] = d2 * Float(byte >> 4 | (high & 2) << 3) - m2
      }
    }
  }

  private static var shape: AffineShape {
    AffineShape(
      length: 32, levels: 31, scaleLevels: 63, clipOffsets: ClipOffsets(first: -0.6, step: 0.25, count: 8), trials: 2,
      magnitudeWeight: 1)
  }

  @inline(__always) static func fit(_ x: Floats, weights: Floats) -> AffineSuperBlock {
    withLanes(x, weights, length: 32, magnitudeWeight: shape.magnitudeWeight) { fitAffineSuperBlock($0, shape) }
  }

  init(_ x: Floats, weights: Floats) {
    let fit = Self.fit(x, weights: weights)
    var q = InlineArray<256, UInt8>(repeating: 0)
    self = q.withBytes { q in
      fit.round(x, Self.shape, into: q)
      return Self(SuperBlockScales(fit), q)
    }
  }

  /// Packs integers of weights, 0 to 31.
  init(_ stored: SuperBlockScales, _ q: UnsafePointer<UInt8>) {
    d = stored.d
    dmin = stored.dmin
    scales = ScalesK4(stored)
    qh = InlineArray(repeating: 0)
    qs = InlineArray(repeating: 0)
    for l in 0..<32 {
      var high: UInt8 = 0
      for j in 0..<8 { high |= (q[32 * j + l] >> 4) << UInt8(j) }
      qh[l] = high
    }
    for group in 0..<4 {
      for l in 0..<32 { qs[32 * group + l] = q[64 * group + l] & 15 | (q[64 * group + 32 + l] & 15) << 4 }
    }
  }
}
