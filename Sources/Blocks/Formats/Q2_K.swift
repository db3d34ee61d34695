import Tensors

// Q2_K: 256 weights in 84 bytes, 2.625 bits per weight.
//
//    0  scales  16 bytes, one for 16 weights: scale in the low, min in the high nibble
//   16  qs      two halves of 128 weights, 32 bytes each; byte l holds weights l, l + 32, l + 64, l + 96 from bit 0 up
//   80  d       half: scale of the scales
//   82  dmin    half: scale of the mins
//
// x = (d * scale) * q - dmin * min

struct BlockQ2_K: Block {
  var scales: InlineArray<16, UInt8>
  var qs: InlineArray<64, UInt8>
  var d: Float16
  var dmin: Float16

  static var type: GGMLType { .q2_K }

  func decode(into output: UnsafeMutablePointer<Float>) {
    let d = Float(d)
    let dmin = Float(dmin)
    for j in 0..<16 {
      let (step, offset) = (d * Float(scales[j] & 15), dmin * Float(scales[j] >> 4))
      let shift = UInt8(j % 8 / 2 * 2)
      let source = 32 * (j / 8) + 16 * (j % 2)
      for l in 0..<16 { output[16 * j + l] = step * Float(qs[source + l] >> shift & 3) - offset }
    }
  }

  private static var shape: AffineShape {
    AffineShape(
      length: 16, levels: 3, scaleLevels: 15, clipOffsets: ClipOffsets(first: -0.4, step: 0.2, count: 6), trials: 8,
      magnitudeWeight: 0.25, correctsShrinkage: true)
  }

  @inline(__always) static func fit(_ x: Floats, weights: Floats) -> AffineSuperBlock {
    withLanes(x, weights, length: 16, magnitudeWeight: shape.magnitudeWeight) { fitAffineSuperBlock($0, shape) }
  }

  init(_ x: Floats, weights: Floats) {
    let fit = Self.fit(x, weights: weights)
    var q = InlineArray<256, UInt8>(repeating: 0)
    self = q.withBytes { q in
      fit.round(x, Self.shape, into: q)
      return Self(SuperBlockScales(fit), q)
    }
  }

  /// Packs integers of weights, 0 to 3.
  init(_ stored: SuperBlockScales, _ q: UnsafePointer<UInt8>) {
    d = stored.d
    dmin = stored.dmin
    scales = InlineArray(repeating: 0)
    qs = InlineArray(repeating: 0)
    for j in 0..<16 { scales[j] = UInt8(stored.scales[j]) | UInt8(stored.mins[j]) << 4 }
    for l in 0..<32 {
      qs[l] = q[l] | q[l + 32] << 2 | q[l + 64] << 4 | q[l + 96] << 6
      qs[l + 32] = q[l + 128] | q[l + 160] << 2 | q[l + 192] << 4 | q[l + 224] << 6
    }
  }
}
