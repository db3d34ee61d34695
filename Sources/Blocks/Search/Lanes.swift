import CVectors

// Eight sub-blocks are searched side by side, one in each lane of a vector: element i of all eight lies in vector i. A
// candidate then costs a handful of vector operations an element, with no horizontal sums, no branches and no lane
// taken out, and every lane does exactly what the plain loop over its own sub-block does.

/// One number for each of eight sub-blocks.
typealias Lane = SIMD8<Float>

/// 256 weights and what an error in each costs, in groups of eight sub-blocks: one group of 8 x 32, or two of 8 x 16.
struct Lanes {
  let x: UnsafeMutablePointer<Lane>
  let w: UnsafeMutablePointer<Lane>
  /// Elements of a sub-block.
  let length: Int

  var groups: Int { 32 / length }

  /// Makes errors in large weights cost more: w (1 + stress |x| / rms).
  @inline(__always) func stressLargeWeights(_ stress: Float) {
    var energy = cv_splat(0)
    for i in 0..<length { energy = cv_fma(x[i], x[i], energy) }
    let unit = (energy * cv_splat(1 / Float(length))).squareRoot().reciprocal * cv_splat(stress)
    for i in 0..<length { w[i] *= cv_fma(cv_abs(x[i]), unit, cv_splat(1)) }
  }

  /// Σwx²: the error of a sub-block of zeros.
  @inline(__always) var energy: Lane {
    var energy = cv_splat(0)
    for i in 0..<length { energy = cv_fma(w[i] * x[i], x[i], energy) }
    return energy
  }

  @inline(__always) func group(_ index: Int) -> Lanes {
    Lanes(x: x + index * length, w: w + index * length, length: length)
  }
}

/// What no block can hold anyway (scales are halves) is cut off here, so that squares stay finite.
private let bound: Float = 0x1p30
/// Extremes below this leave nothing but zeros in any block, and their reciprocals may overflow.
let negligible: Float = 0x1p-60

@inline(__always)
func withLanes<R>(_ x: Floats, _ w: Floats, length: Int, _ body: (Lanes) -> R) -> R {
  var storage = InlineArray<64, Lane>(repeating: Lane(repeating: 0))
  return withUnsafeMutablePointer(to: &storage) { storage in
    let base = UnsafeMutableRawPointer(storage).assumingMemoryBound(to: Lane.self)
    let lanes = Lanes(x: base, w: base + 32, length: length)
    for group in 0..<32 / length {
      for i in stride(from: 0, to: length, by: 8) {
        let source = group * 8 * length + i
        cv_load_columns(x + source, length, lanes.x + group * length + i)
        cv_load_columns(w + source, length, lanes.w + group * length + i)
      }
    }
    for i in 0..<32 { lanes.x[i] = cv_clamp(lanes.x[i], cv_splat(-bound), cv_splat(bound)) }
    return body(lanes)
  }
}

/// Encodes `count` blocks of 32 weights, eight at a time; missing ones at the end are made of zeros.
@inline(__always)
func forEachOctet(_ x: Floats, _ w: Floats, count: Int, _ body: (Lanes, Floats, Int, Int) -> Void) {
  var index = 0
  while index + 8 <= count {
    withLanes(x + 32 * index, w + 32 * index, length: 32) { body($0, x + 32 * index, index, 8) }
    index += 8
  }
  guard index < count else { return }
  let rest = count - index
  var padded = InlineArray<512, Float>(repeating: 0)
  withUnsafeMutablePointer(to: &padded) { padded in
    let base = UnsafeMutableRawPointer(padded).assumingMemoryBound(to: Float.self)
    base.update(from: x + 32 * index, count: 32 * rest)
    (base + 256).update(repeating: 1, count: 256)
    (base + 256).update(from: w + 32 * index, count: 32 * rest)
    withLanes(base, base + 256, length: 32) { body($0, base, index, rest) }
  }
}

extension Lane {
  /// 1 / self, or 0 where self is 0 (or too small for its reciprocal).
  @inline(__always) var reciprocal: Lane {
    cv_where_less(cv_splat(negligible), cv_abs(self), cv_splat(1) / self, cv_splat(0))
  }

  /// The element with the largest magnitude, with its sign; the first of several.
  @inline(__always) static func extreme(_ x: UnsafeMutablePointer<Lane>, count: Int) -> Lane {
    var largest = cv_splat(0)
    var extreme = cv_splat(0)
    for i in 0..<count {
      let magnitude = cv_abs(x[i])
      extreme = cv_where_less(largest, magnitude, x[i], extreme)
      largest = cv_max(largest, magnitude)
    }
    return extreme
  }
}

extension InlineArray where Element == UInt8 {
  @inline(__always) mutating func withBytes(_ body: (UnsafeMutablePointer<UInt8>) -> Void) {
    withUnsafeMutablePointer(to: &self) { body(UnsafeMutableRawPointer($0).assumingMemoryBound(to: UInt8.self)) }
  }
}
