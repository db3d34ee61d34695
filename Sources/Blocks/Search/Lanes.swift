import CBlocks

// Eight sub-blocks are searched side by side, one in each lane of a vector: vector i holds element i of all eight. A
// candidate costs a few vector operations per element, without horizontal sums or branches, and every lane computes exactly
// what a plain loop over its sub-block computes.

/// One number for each of eight sub-blocks.
typealias Lane = SIMD8<Float>

/// 256 weights and the costs of their errors, in groups of eight sub-blocks: one group of 8 x 32, or two of 8 x 16.
struct Lanes {
  let x: UnsafeMutablePointer<Lane>
  /// Cost of a squared error in each weight, as the search counts it.
  let w: UnsafeMutablePointer<Lane>
  /// Importance as given. `w` additionally gives large weights more weight where the format asks for it.
  let importance: UnsafeMutablePointer<Lane>
  /// Elements of a sub-block.
  let length: Int

  var groups: Int { 32 / length }

  /// The same weights, with errors counted by importance alone.
  @inline(__always) var byImportance: Lanes { Lanes(x: x, w: importance, importance: importance, length: length) }

  /// w = importance (1 + magnitudeWeight |x| / rms), rms being that of all `count` weights.
  ///
  /// The least-squares scale clips the extreme weights of a sub-block. Inputs vary around their mean square, so that few large
  /// errors do more harm than many small ones. Measured effect: the 99.9 % percentile of KL divergence falls by a fifth
  /// (Q2_K) to a third (Q5_K) and its mean by up to a tenth, while the squared error grows by 1 to 2 %.
  @inline(__always) fileprivate func weighByMagnitude(_ magnitudeWeight: Float, count: Int) {
    var energy = cv_splat(0)
    for i in 0..<32 { energy = cv_fma(x[i], x[i], energy) }
    let unit = cv_splat((cv_sum(energy) / Float(count)).squareRoot()).reciprocal * cv_splat(magnitudeWeight)
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

/// Weights are clipped to this, so that squares stay finite. Half-precision scales cannot represent larger ones anyway.
let bound: Float = 0x1p30
/// Smaller extremes encode to zeros in any format, and their reciprocals may overflow.
let negligible: Float = 0x1p-60

@inline(__always)
func withLanes<R>(
  _ x: Floats, _ w: Floats, length: Int, magnitudeWeight: Float = 0, count: Int = 256, _ body: (Lanes) -> R
) -> R {
  var storage = InlineArray<96, Lane>(repeating: Lane(repeating: 0))
  return withUnsafeMutablePointer(to: &storage) { storage in
    let base = UnsafeMutableRawPointer(storage).assumingMemoryBound(to: Lane.self)
    let lanes = Lanes(x: base, w: base + (magnitudeWeight > 0 ? 64 : 32), importance: base + 32, length: length)
    for group in 0..<32 / length {
      for i in stride(from: 0, to: length, by: 8) {
        let source = group * 8 * length + i
        cv_load_columns(x + source, length, lanes.x + group * length + i)
        cv_load_columns(w + source, length, lanes.importance + group * length + i)
      }
    }
    for i in 0..<32 { lanes.x[i] = cv_clamp(lanes.x[i], cv_splat(-bound), cv_splat(bound)) }
    if magnitudeWeight > 0 { lanes.weighByMagnitude(magnitudeWeight, count: count) }
    return body(lanes)
  }
}

/// Encodes the `count` blocks of 32 weights of a row, eight at a time. The last group is padded with zeros.
@inline(__always)
func forEachOctet(
  _ x: Floats, _ w: Floats, count: Int, magnitudeWeight: Float = 0, _ body: (Lanes, Floats, Int, Int) -> Void
) {
  var index = 0
  while index + 8 <= count {
    withLanes(x + 32 * index, w + 32 * index, length: 32, magnitudeWeight: magnitudeWeight) {
      body($0, x + 32 * index, index, 8)
    }
    index += 8
  }
  guard index < count else { return }
  let remaining = count - index
  var padded = InlineArray<512, Float>(repeating: 0)
  withUnsafeMutablePointer(to: &padded) { padded in
    let base = UnsafeMutableRawPointer(padded).assumingMemoryBound(to: Float.self)
    base.update(from: x + 32 * index, count: 32 * remaining)
    (base + 256).update(repeating: 1, count: 256)
    (base + 256).update(from: w + 32 * index, count: 32 * remaining)
    withLanes(base, base + 256, length: 32, magnitudeWeight: magnitudeWeight, count: 32 * remaining) {
      body($0, base, index, remaining)
    }
  }
}

extension Lane {
  /// 1 / self, or 0 where self is 0 (or too small for its reciprocal).
  @inline(__always) var reciprocal: Lane {
    cv_where_less(cv_splat(negligible), cv_abs(self), cv_splat(1) / self, cv_splat(0))
  }

  /// The element of largest magnitude, with its sign; the first one of equals.
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
  @inline(__always) mutating func withBytes<R>(_ body: (UnsafeMutablePointer<UInt8>) -> R) -> R {
    withUnsafeMutablePointer(to: &self) { body(UnsafeMutableRawPointer($0).assumingMemoryBound(to: UInt8.self)) }
  }
}
