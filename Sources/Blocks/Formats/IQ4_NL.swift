import Tensors

// IQ4_NL: 32 weights in 18 bytes, 4.5 bits per weight; levels are denser around zero.
//
//   0  d   half
//   2  qs  byte l holds the index of weight l in its low and of weight l + 16 in its high nibble
//
// x = d * levels[q]

/// The sixteen levels of IQ4_NL and IQ4_XS.
let iq4Levels: InlineArray<16, Float> = [
  -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
]

enum BlockIQ4_NL: BlockFormat {
  static var type: GGMLType { .iq4_nl }

  static func decode(_ block: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<Float>) {
    let d = block.half(at: 0)
    for l in 0..<16 {
      output[l] = d * iq4Levels[Int(block[2 + l] & 15)]
      output[l + 16] = d * iq4Levels[Int(block[2 + l] >> 4)]
    }
  }

  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>) {
    fit(x, weights: weights, count: count) { index, d, x in
      var q = InlineArray<32, UInt8>(repeating: 0)
      q.withBytes { q in
        roundIQ4(x, step: Float(d), into: q)
        pack(d, q, into: output + 18 * index)
      }
    }
  }

  /// Calls `body` with every block's index, scale and weights.
  @inline(__always)
  static func fit(_ x: Floats, weights: Floats, count: Int, _ body: (Int, Float16, Floats) -> Void) {
    forEachOctet(x, weights, count: count) { lanes, x, first, blocks in
      let fit = fitScale(LevelsIQ4.self, lanes)
      for k in 0..<blocks { body(first + k, half(fit[k]), x + 32 * k) }
    }
  }

  /// Packs indices of levels.
  @inline(__always)
  static func pack(_ d: Float16, _ q: UnsafePointer<UInt8>, into block: UnsafeMutablePointer<UInt8>) {
    block.store(d, at: 0)
    for l in 0..<16 { block[2 + l] = q[l] | q[l + 16] << 4 }
  }
}
