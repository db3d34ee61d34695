import CVectors

// Eight sub-blocks are searched side by side, one in each lane of a vector: element i of all eight lies in vector i. A
// candidate then costs a handful of vector operations an element, with no horizontal sums, no branches and no lane
// taken out, and every lane does exactly what the plain loop over its own sub-block does.

/// One number for each of eight sub-blocks.
typealias Lane = SIMD8<Float>

/// 256 weights and what an error in each costs, in groups of eight sub-blocks: one group of 8 x 32, or two of 8 x 16.
struct Lanes {
  let x: UnsafeMutablePointer<Lane>
  /// What the search minimises errors by.
  let w: UnsafeMutablePointer<Lane>
  /// What is asked for; other than `w` where the search counts errors in large weights more.
  let importance: UnsafeMutablePointer<Lane>
  /// Elements of a sub-block.
  let length: Int

  var groups: Int { 32 / length }

  /// The same weights with errors as they are asked for.
  @inline(__always) var asked: Lanes { Lanes(x: x, w: importance, importance: importance, length: length) }

  /// w = importance (1 + stress |x| / rms), rms being that of all `count` weights.
  ///
  /// The least squared error cuts off the extremes of a sub-block, 16 or 32 weights for the sake of one scale. What an input
  /// does to a matrix varies around its mean square, and then few large errors are worse than many small ones: 99.9 % of KL
  /// divergence falls by a fifth (Q2_K) to a third (Q5_K), its mean by up to a tenth, at one or two percent more error.
  @inline(__always) fileprivate func stressLargeWeights(_ stress: Float, count: Int) {
    var energy = cv_splat(0)
    for i in 0..<32 { energy = cv_fma(x[i], x[i], energy) }
    let unit = cv_splat((cv_sum(energy) / Float(count)).squareRoot()).reciprocal * cv_splat(stress)
    for i in 0..<32 { w[i] = importance[i] * cv_fma(cv_abs(x[i]), unit, cv_splat(1)) }
  }

  /// Σwx²: the error of a sub-block of zeros.
  @inline(__always) var energy: Lane {
    var energy = cv_splat(0)
    for i in 0..<length { energy = cv_fma(w[i] * x[i], x[i], energy) }
    return energy
  }

  @inline(__always) func group(_ index: Int) -> Lanes {
    Lanes(x: x + index * length, w: w + index * length, importance: importance + index * length, length: length)
  }
}

/// What no block can hold anyway (scales are halves) is cut off here, so that squares stay finite.
private let bound: Float = 0x1p30
/// Extremes below this leave nothing but zeros in any block, and their reciprocals may overflow.
let negligible: Float = 0x1p-60

@inline(__always)
func withLanes<R>(
  _ x: Floats, _ w: Floats, length: Int, stress: Float = 0, count: Int = 256, _ body: (Lanes) -> R
) -> R {
  var storage = InlineArray<96, Lane>(repeating: Lane(repeating: 0))
  return withUnsafeMutablePointer(to: &storage) { storage in
    let base = UnsafeMutableRawPointer(storage).assumingMemoryBound(to: Lane.self)
    let lanes = Lanes(x: base, w: base + (stress > 0 ? 64 : 32), importance: base + 32, length: length)
    for group in 0..<32 / length {
      for i in stride(from: 0, to: length, by: 8) {
        let source = group * 8 * length + i
        cv_load_columns(x + source, length, lanes.x + group * length + i)
        cv_load_columns(w + source, length, lanes.importance + group * length + i)
      }
    }
    for i in 0..<32 { lanes.x[i] = cv_clamp(lanes.x[i], cv_splat(-bound), cv_splat(bound)) }
    if stress > 0 { lanes.stressLargeWeights(stress, count: count) }
    return body(lanes)
  }
}

/// Encodes the `count` blocks of 32 weights of a row, eight at a time; missing ones at the end are made of zeros.
@inline(__always)
func forEachOctet(
  _ x: Floats, _ w: Floats, count: Int, stress: Float = 0, _ body: (Lanes, Floats, Int, Int) -> Void
) {
  var index = 0
  while index + 8 <= count {
    withLanes(x + 32 * index, w + 32 * index, length: 32, stress: stress) { body($0, x + 32 * index, index, 8) }
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
    withLanes(base, base + 256, length: 32, stress: stress, count: 32 * rest) { body($0, base, index, rest) }
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
