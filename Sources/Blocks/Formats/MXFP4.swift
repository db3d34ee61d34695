import Tensors

// MXFP4: 32 weights in 17 bytes, 4.25 bits per weight (OCP Microscaling Formats 1.0: E2M1 elements, an E8M0 scale).
//
//   0  e   the scale is 2^(e - 127)
//   1  qs  byte l holds weight l in its low and weight l + 16 in its high nibble: sign and magnitude
//
// x = 2^(e - 128) * level: levels are twice E2M1's values, so that they are integers.

/// Twice the values of E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.
let mxfp4Levels: InlineArray<16, Float> = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]

enum BlockMXFP4: BlockFormat {
  static var type: GGMLType { .mxfp4 }

  /// 2^(e - 128), exactly; the two smallest are subnormal.
  static func step(_ e: UInt8) -> Float {
    Float(bitPattern: e < 2 ? 0x0020_0000 << UInt32(e) : UInt32(e - 1) << 23)
  }

  static func decode(_ block: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<Float>) {
    let step = step(block[0])
    for l in 0..<16 {
      output[l] = step * mxfp4Levels[Int(block[1 + l] & 15)]
      output[l + 16] = step * mxfp4Levels[Int(block[1 + l] >> 4)]
    }
  }

  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>) {
    for index in 0..<count {
      let (x, block) = (x + 32 * index, output + 17 * index)
      var largest: Float = 0
      for i in 0..<32 { largest = max(largest, abs(x[i])) }
      block[0] = largest > 0 ? UInt8(max(0, min(254, Int(largest.exponent) + 125))) : 0
      let step = step(block[0])
      for l in 0..<16 { block[1 + l] = nearest(x[l], step) | nearest(x[l + 16], step) << 4 }
    }
  }

  private static func nearest(_ value: Float, _ step: Float) -> UInt8 {
    var best = 0
    for k in 1..<8 where abs(step * mxfp4Levels[k] - abs(value)) < abs(step * mxfp4Levels[best] - abs(value)) {
      best = k
    }
    return UInt8(best) | (value < 0 && best > 0 ? 8 : 0)
  }
}
