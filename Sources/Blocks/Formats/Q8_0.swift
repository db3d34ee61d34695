import CVectors
import Tensors

// Q8_0: 32 weights in 34 bytes, 8.5 bits per weight.
//
//   0  d   half
//   2  qs  32 signed bytes
//
// x = d * q. d = max|x| / 127, q = x / d rounded to the nearest (half to even).

struct BlockQ8_0: Block {
  var d: Float16
  var qs: InlineArray<32, Int8>

  static var type: GGMLType { .q8_0 }

  func decode(into output: UnsafeMutablePointer<Float>) {
    let d = Float(d)
    for i in 0..<32 { output[i] = d * Float(qs[i]) }
  }

  init(_ x: Floats, weights: Floats) {
    var largest = cv_splat(0)
    for i in stride(from: 0, to: 32, by: 8) { largest = cv_max(largest, cv_abs(cv_load(x + i))) }
    let step = cv_largest(largest) / 127
    d = half(step)
    qs = InlineArray(repeating: 0)
    let inverse = cv_splat(step > 0 ? 1 / step : 0)
    for i in stride(from: 0, to: 32, by: 8) {
      let q = cv_to_i32(cv_clamp(cv_round(cv_load(x + i) * inverse), cv_splat(-127), cv_splat(127)))
      for k in 0..<8 { qs[i + k] = Int8(truncatingIfNeeded: q[k]) }
    }
  }
}
