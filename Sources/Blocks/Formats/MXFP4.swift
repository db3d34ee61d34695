import CBlocks
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

  /// Tries three scales: the power of two that maps the largest weight between 4 and 8, the next smaller and the next larger.
  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>) {
    forEachOctet(x, weights, count: count) { lanes, x, first, blocks in
      let largest = cv_abs(Lane.extreme(lanes.x, count: 32))
      let middle = cv_power_below(largest) * cv_splat(0.125)
      let (error, above) = stepErrors(LevelsMXFP4.self, lanes, middle, middle + middle)
      let (below, _) = stepErrors(LevelsMXFP4.self, lanes, middle * cv_splat(0.5), middle)
      var steps = cv_where_less(above, error, middle + middle, middle)
      steps = cv_where_less(below, cv_min(error, above), middle * cv_splat(0.5), steps)
      for k in 0..<blocks {
        let block = output + 17 * (first + k)
        let usable = steps[k] > negligible
        block[0] = usable ? UInt8(steps[k].exponent + 128) : 0
        let inverse = cv_splat(usable ? 1 / steps[k] : 0)
        var q = InlineArray<32, UInt8>(repeating: 0)
        q.withBytes { q in
          for i in stride(from: 0, to: 32, by: 8) {
            cv_store_bytes(q + i, cv_mxfp4_code(cv_load(x + 32 * k + i) * inverse))
          }
          for l in 0..<16 { block[1 + l] = q[l] | q[l + 16] << 4 }
        }
      }
    }
  }
}
