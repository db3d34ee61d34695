import CVectors

// A super-block of 256 weights in `count` sub-blocks of `length`: x ≈ (d * scale) * q - (dmin * min), where scale and
// min are small integers of the sub-block and d and dmin halves of the super-block. Q2_K, Q4_K and Q5_K are of this
// form.
//
// 1. Each sub-block finds its own real scale and min.
// 2. d and dmin are set so that the largest fit; then each sub-block tries the integer pairs around its own (eight in
//    the lanes), because what rounding the scale spoils, another min can mend.
// 3. d and dmin are solved for again with those integers, and step 2 is repeated; the best round stays.

struct AffineSuperBlock {
  var d: Float16 = 0
  var dmin: Float16 = 0
  var scales = InlineArray<16, UInt8>(repeating: 0)
  var mins = InlineArray<16, UInt8>(repeating: 0)
  var q = InlineArray<256, UInt8>(repeating: 0)
}

struct AffineShape {
  let count: Int
  let length: Int
  /// Largest integer of a weight.
  let levels: Int
  /// Largest integer of a scale or min.
  let scaleLevels: Int
  /// How far candidate ranges differ in the first search.
  let spread: Float
}

func fitAffineSuperBlock(_ x: Floats, _ w: Floats, _ shape: AffineShape) -> AffineSuperBlock {
  var fits = InlineArray<16, AffineFit>(repeating: AffineFit(scale: 0, min: 0))
  var largestScale: Float = 0
  var largestMin: Float = 0
  for j in 0..<shape.count {
    let start = j * shape.length
    fits[j] = fitAffine(x + start, w + start, count: shape.length, levels: shape.levels, spread: shape.spread)
    largestScale = max(largestScale, fits[j].scale)
    largestMin = max(largestMin, fits[j].min)
  }
  var best = AffineSuperBlock()
  guard largestScale > 0 || largestMin > 0 else { return best }
  let top = Float(shape.scaleLevels)
  var current = AffineSuperBlock()
  current.d = half(largestScale / top)
  current.dmin = half(largestMin / top)
  var bestError = Float.infinity
  for round in 0..<3 {
    let (error, d, dmin) = chooseIntegers(x, w, shape, fits, &current)
    if error < bestError {
      bestError = error
      best = current
    }
    guard round < 2, d > 0 || dmin > 0 else { break }
    let refined = (half(max(0, d)), half(max(0, dmin)))
    if refined == (current.d, current.dmin) { break }
    (current.d, current.dmin) = refined
  }
  roundWeights(x, shape, &best)
  return best
}

/// The nearest half; what is too large becomes the largest.
@inline(__always) func half(_ value: Float) -> Float16 {
  let rounded = Float16(value)
  return rounded.isInfinite ? (value < 0 ? -Float16.greatestFiniteMagnitude : .greatestFiniteMagnitude) : rounded
}

/// Chooses scale and min of every sub-block for the given d and dmin; returns the weighted error and the d and dmin
/// that would serve these integers best.
private func chooseIntegers(
  _ x: Floats, _ w: Floats, _ shape: AffineShape, _ fits: InlineArray<16, AffineFit>, _ block: inout AffineSuperBlock
) -> (error: Float, d: Float, dmin: Float) {
  let d = Float(block.d)
  let dmin = Float(block.dmin)
  let zero = cv_splat(0)
  let top = cv_splat(Float(shape.scaleLevels))
  let levels = cv_splat(Float(shape.levels))
  var total: Float = 0
  // Normal equations of x ≈ d * (scale * q) - dmin * min over the super-block.
  var aa: Float = 0
  var ab: Float = 0
  var bb: Float = 0
  var xa: Float = 0
  var xb: Float = 0
  for j in 0..<shape.count {
    let start = j * shape.length
    let scale0 = d > 0 ? (fits[j].scale / d).rounded() : 0
    let min0 = dmin > 0 ? (fits[j].min / dmin).rounded() : 0
    let scales = cv_clamp(cv_splat(scale0) + SIMD8<Float>(0, 1, -1, 0, 0, 1, -1, 1), zero, top)
    let mins = cv_clamp(cv_splat(min0) + SIMD8<Float>(0, 0, 0, 1, -1, 1, -1, 2), zero, top)
    let step = scales * cv_splat(d)
    let offset = mins * cv_splat(dmin)
    let usable = step .> zero
    let inverse = (cv_splat(1) / step.replacing(with: 1, where: .!usable)).replacing(with: 0, where: .!usable)
    let bias = offset * inverse
    var error = zero
    for i in start..<start + shape.length {
      let xi = cv_splat(x[i])
      let q = cv_min(cv_max(cv_round(cv_fma(xi, inverse, bias)), zero), levels)
      let difference = cv_fma(step, q, zero - offset) - xi
      error = cv_fma(cv_splat(w[i]) * difference, difference, error)
    }
    let least = cv_smallest(error)
    var lane = 0
    while error[lane] != least && lane < 7 { lane += 1 }
    total += least
    let (scale, minimum) = (scales[lane], mins[lane])
    block.scales[j] = UInt8(scale)
    block.mins[j] = UInt8(minimum)
    let (inv, b) = (inverse[lane], bias[lane])
    var sw = zero
    var sx = zero
    var sq = zero
    var sqq = zero
    var sxq = zero
    var i = start
    while i < start + shape.length {
      let xi = cv_load(x + i)
      let wi = cv_load(w + i)
      let q = cv_min(cv_max(cv_round(cv_fma(xi, cv_splat(inv), cv_splat(b))), zero), levels)
      let wq = wi * q
      sw += wi
      sx = cv_fma(wi, xi, sx)
      sq += wq
      sqq = cv_fma(wq, q, sqq)
      sxq = cv_fma(wq, xi, sxq)
      i += 8
    }
    aa += scale * scale * cv_sum(sqq)
    ab -= scale * minimum * cv_sum(sq)
    bb += minimum * minimum * cv_sum(sw)
    xa += scale * cv_sum(sxq)
    xb -= minimum * cv_sum(sx)
  }
  let determinant = aa * bb - ab * ab
  guard determinant > 0 else { return (total, aa > 0 ? xa / aa : d, dmin) }
  return (total, (xa * bb - xb * ab) / determinant, (aa * xb - ab * xa) / determinant)
}

private func roundWeights(_ x: Floats, _ shape: AffineShape, _ block: inout AffineSuperBlock) {
  let zero = cv_splat(0)
  let levels = cv_splat(Float(shape.levels))
  for j in 0..<shape.count {
    let step = Float(block.d) * Float(block.scales[j])
    let offset = Float(block.dmin) * Float(block.mins[j])
    guard step > 0 else { continue }
    let inverse = 1 / step
    var i = j * shape.length
    while i < (j + 1) * shape.length {
      let q = cv_min(
        cv_max(cv_round(cv_fma(cv_load(x + i), cv_splat(inverse), cv_splat(offset * inverse))), zero), levels)
      let integers = cv_to_i32(q)
      for k in 0..<8 { block.q[i + k] = UInt8(truncatingIfNeeded: integers[k]) }
      i += 8
    }
  }
}
