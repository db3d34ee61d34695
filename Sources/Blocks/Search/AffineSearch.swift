import CBlocks

// x ≈ scale * q - min with q from 0 to `levels`. For fixed q the best (scale, min) is a 2x2 least-squares problem with
// the sums
//   w = Σw, x = Σwx, q = Σwq, qq = Σwq², xq = Σwxq
// and it gains scale * xq - min * x over x ≈ 0, so that candidates can be compared without a second pass.

struct AffineFit {
  var scale = cv_splat(0)
  /// Subtracted from scale * q.
  var min = cv_splat(0)
}

struct AffineShape {
  /// Elements of a sub-block.
  let length: Int
  /// Largest integer of a weight.
  let levels: Float
  /// Largest integer of a scale or min; 0 where a sub-block's scale and min are halves of its own.
  var scaleLevels: Float = 0
  /// Candidate clip offsets: how far beyond the first and the last integer the smallest and the largest weight are mapped.
  /// All pairs are tried.
  let clipOffsets: ClipOffsets
  /// Number of pairs (d, dmin) that a super-block tries.
  var trials = 1
  /// Extra cost of an error in a weight as large as the super-block's root mean square, relative to one near zero.
  var magnitudeWeight: Float = 0
  /// Whether d is enlarged to correct shrinkage (see `Products`).
  var correctsShrinkage = false

  /// min cannot be negative where it is an integer times dmin.
  var minIsPositive: Bool { scaleLevels > 0 }
}

/// Sums over a sub-block for one candidate.
private struct AffineSums {
  var q = cv_splat(0)
  var qq = cv_splat(0)
  var xq = cv_splat(0)

  /// `low` and `high`: whether integers may exceed the levels at that end and have to be clipped.
  @inline(__always) mutating func add(
    _ x: Lane, _ w: Lane, _ inverse: Lane, _ bias: Lane, _ levels: Lane, low: Bool = true, high: Bool = true
  ) {
    var integer = cv_round(cv_fma(x, inverse, bias))
    if low { integer = cv_max(integer, cv_splat(0)) }
    if high { integer = cv_min(integer, levels) }
    let wq = w * integer
    q += wq
    qq = cv_fma(wq, integer, qq)
    xq = cv_fma(wq, x, xq)
  }

  /// The best scale and min for these integers, and their gain; a scale that is not positive gains nothing.
  @inline(__always) func solved(w: Lane, wx: Lane, minIsPositive: Bool) -> (fit: AffineFit, gain: Lane) {
    let zero = cv_splat(0)
    // Tiny determinants are noise: all integers are the same.
    let reciprocal = cv_where_less(w * qq * cv_splat(1e-6), w * qq - q * q, cv_splat(1) / (w * qq - q * q), zero)
    var scale = (w * xq - wx * q) * reciprocal
    var min = (q * xq - qq * wx) * reciprocal
    if minIsPositive {
      // min cannot be negative: it is clipped to zero and the scale is fitted alone. The same holds for equal integers.
      let alone = xq * qq.reciprocal
      scale = cv_where_less(min, zero, alone, scale)
      scale = cv_where_less(zero, reciprocal, scale, alone)
      min = cv_max(min, zero)
    }
    let gain = cv_where_less(zero, scale, scale * xq - min * wx, zero)
    return (AffineFit(scale: scale, min: min), gain)
  }
}

/// Sums for two candidates in one pass: their dependency chains overlap.
@inline(__always) private func sumTwo(
  _ block: Lanes, _ inverse: (Lane, Lane), _ bias: (Lane, Lane), _ levels: Lane, low: Bool, high: Bool
) -> (AffineSums, AffineSums) {
  var sums = (AffineSums(), AffineSums())
  for i in 0..<block.length {
    let x = block.x[i]
    let w = block.w[i]
    sums.0.add(x, w, inverse.0, bias.0, levels, low: low, high: high)
    sums.1.add(x, w, inverse.1, bias.1, levels, low: low, high: high)
  }
  return sums
}

@inline(__always) private func better(
  _ a: (fit: AffineFit, gain: Lane), _ b: (fit: AffineFit, gain: Lane)
) -> (fit: AffineFit, gain: Lane) {
  let fit = AffineFit(
    scale: cv_where_less(a.gain, b.gain, b.fit.scale, a.fit.scale),
    min: cv_where_less(a.gain, b.gain, b.fit.min, a.fit.min))
  return (fit, cv_max(a.gain, b.gain))
}

/// The scale and min of each lane with the largest gain.
@inline(__always)
func fitAffine(_ block: Lanes, _ shape: AffineShape) -> AffineFit {
  let zero = cv_splat(0)
  let levels = cv_splat(shape.levels)
  var low = block.x[0]
  var high = low
  var w = zero
  var wx = zero
  for i in 0..<block.length {
    low = cv_min(low, block.x[i])
    high = cv_max(high, block.x[i])
    w += block.w[i]
    wx = cv_fma(block.w[i], block.x[i], wx)
  }
  if shape.minIsPositive { low = cv_min(low, zero) }
  let range = high - low
  let unit = range.reciprocal
  // Equal weights are represented by min alone. This is the baseline that other candidates have to beat.
  let mean = wx * w.reciprocal
  let flat = shape.minIsPositive ? cv_min(mean, zero) : mean
  var best = (fit: AffineFit(scale: zero, min: zero - flat), gain: flat * wx)
  // A weight that is mapped less than half a level beyond the last level rounds to it, so that no integer has to be clipped
  // at that end. Weights much farther from zero than from each other have rounding errors of a whole level.
  let inside: Float = 0.45
  let isFar = cv_largest(cv_abs(low) * unit) > 1024
  for a in 0..<shape.clipOffsets.count {
    // How far the smallest weight is mapped below 0, and the largest above the last level.
    let under = shape.clipOffsets.first + Float(a) * shape.clipOffsets.step
    for b in stride(from: 0, to: shape.clipOffsets.count, by: 2) {
      let over = shape.clipOffsets.first + Float(b) * shape.clipOffsets.step
      let inverse0 = (levels + cv_splat(under + over)) * unit
      let inverse1 = (levels + cv_splat(under + over + shape.clipOffsets.step)) * unit
      let bias0 = cv_splat(-under) - low * inverse0
      let bias1 = cv_splat(-under) - low * inverse1
      let cutsLow = under > inside || isFar
      let cutsHigh = over + shape.clipOffsets.step > inside || isFar
      let (inverse, bias) = ((inverse0, inverse1), (bias0, bias1))
      let sums =
        switch (cutsLow, cutsHigh) {
        case (false, false): sumTwo(block, inverse, bias, levels, low: false, high: false)
        case (false, true): sumTwo(block, inverse, bias, levels, low: false, high: true)
        case (true, false): sumTwo(block, inverse, bias, levels, low: true, high: false)
        case (true, true): sumTwo(block, inverse, bias, levels, low: true, high: true)
        }
      best = better(best, sums.0.solved(w: w, wx: wx, minIsPositive: shape.minIsPositive))
      best = better(best, sums.1.solved(w: w, wx: wx, minIsPositive: shape.minIsPositive))
    }
  }
  // Lloyd's algorithm from the best candidate: round with the solved scale and min, then solve again.
  for _ in 0..<2 {
    let inverse = best.fit.scale.reciprocal
    let bias = best.fit.min * inverse
    var sums = AffineSums()
    for i in 0..<block.length { sums.add(block.x[i], block.w[i], inverse, bias, levels) }
    best = better(best, sums.solved(w: w, wx: wx, minIsPositive: shape.minIsPositive))
  }
  return best.fit
}

/// Σw(x - step * q + offset)² of each lane for two candidates.
@inline(__always)
func affineErrors(_ block: Lanes, levels: Lane, _ a: AffineFit, _ b: AffineFit) -> (Lane, Lane) {
  let zero = cv_splat(0)
  let (inverse0, inverse1) = (a.scale.reciprocal, b.scale.reciprocal)
  let (bias0, bias1) = (a.min * inverse0, b.min * inverse1)
  let (offset0, offset1) = (zero - a.min, zero - b.min)
  var error0 = zero
  var error1 = zero
  for i in 0..<block.length {
    let x = block.x[i]
    let w = block.w[i]
    let q0 = cv_clamp(cv_round(cv_fma(x, inverse0, bias0)), zero, levels)
    let q1 = cv_clamp(cv_round(cv_fma(x, inverse1, bias1)), zero, levels)
    let r0 = cv_fma(a.scale, q0, offset0) - x
    let r1 = cv_fma(b.scale, q1, offset1) - x
    error0 = cv_fma(w * r0, r0, error0)
    error1 = cv_fma(w * r1, r1, error1)
  }
  return (error0, error1)
}

/// Rounds `count` weights, a multiple of 8, to 0...levels and stores bytes.
@inline(__always)
func roundAffine(
  _ x: Floats, count: Int, step: Float, min: Float, levels: Float, into q: UnsafeMutablePointer<UInt8>
) {
  let inverse = step > negligible ? 1 / step : 0
  let (factor, bias) = (cv_splat(inverse), cv_splat(min * inverse))
  for i in stride(from: 0, to: count, by: 8) {
    cv_store_bytes(q + i, cv_clamp(cv_round(cv_fma(cv_load(x + i), factor, bias)), cv_splat(0), cv_splat(levels)))
  }
}

/// Encodes blocks of 32 weights x ≈ d * q + m. `write` receives a block's index, d, m and the integers.
@inline(__always)
func encodeAffine(
  _ shape: AffineShape, _ x: Floats, _ w: Floats, count: Int,
  _ write: (Int, Float16, Float16, UnsafeMutablePointer<UInt8>) -> Void
) {
  forEachOctet(x, w, count: count) { lanes, x, first, blocks in
    var fit = fitAffine(lanes, shape)
    for k in 0..<8 { (fit.scale[k], fit.min[k]) = (Float(half(fit.scale[k])), -Float(half(-fit.min[k]))) }
    // The error that rounding d and m leaves may exceed that of zeros: such a block becomes zeros.
    let (error, _) = affineErrors(lanes, levels: cv_splat(shape.levels), fit, fit)
    let energy = lanes.energy
    fit.scale = cv_where_less(energy, error, cv_splat(0), fit.scale)
    fit.min = cv_where_less(energy, error, cv_splat(0), fit.min)
    var q = InlineArray<32, UInt8>(repeating: 0)
    q.withBytes { q in
      for k in 0..<blocks {
        let (d, m) = (half(fit.scale[k]), half(-fit.min[k]))
        roundAffine(x + 32 * k, count: 32, step: Float(d), min: -Float(m), levels: shape.levels, into: q)
        write(first + k, d, m, q)
      }
    }
  }
}
