import CBlocks

// A super-block of 256 weights in sub-blocks of 16 or 32: x ≈ (d * scale) * q - (dmin * min), where scale and min are
// small integers of the sub-block and d and dmin halves of the super-block. Q2_K, Q4_K and Q5_K are of this form.
//
// 1. Each sub-block is fitted with a real scale and min.
// 2. For each candidate pair (d, dmin), each sub-block tries the three integer scales nearest to its real scale. Each is
//    tried with the two integer mins around the real min that keeps the middle of the range fixed: a different min
//    compensates for the rounded scale.
//    A sub-block becomes zeros where that costs less: if a neighbour's min is large, or important weights are tiny, the
//    error of a rounded min may exceed that of zeros.
// 3. d and dmin are solved for again with those integers, and step 2 is repeated. The best trial is kept.

struct AffineSuperBlock {
  /// The scales that weights are rounded with.
  var d: Float16 = 0
  var dmin: Float16 = 0
  /// The scales that the block stores: d and dmin, enlarged where shrinkage is corrected.
  var stored: (d: Float16, dmin: Float16) = (0, 0)
  /// Scales and mins as floats, for the first and the second eight sub-blocks.
  var low = AffineFit()
  var high = AffineFit()

  subscript(group: Int) -> AffineFit {
    get { group == 0 ? low : high }
    set { if group == 0 { low = newValue } else { high = newValue } }
  }

  func scale(_ j: Int) -> UInt8 { UInt8(j < 8 ? low.scale[j] : high.scale[j - 8]) }
  func min(_ j: Int) -> UInt8 { UInt8(j < 8 ? low.min[j] : high.min[j - 8]) }

  /// Rounds the weights of every sub-block.
  @inline(__always) func round(_ x: Floats, _ shape: AffineShape, into q: UnsafeMutablePointer<UInt8>) {
    for j in 0..<256 / shape.length {
      roundAffine(
        x + j * shape.length, count: shape.length, step: Float(d) * Float(scale(j)), min: Float(dmin) * Float(min(j)),
        levels: shape.levels, into: q + j * shape.length)
    }
  }
}

/// Factors of the first d and dmin, a pair for each trial.
private let ratios: InlineArray<12, SIMD2<Float>> = [
  SIMD2(1, 1), SIMD2(0.93, 0.96), SIMD2(0.96, 0.9), SIMD2(0.9, 1), SIMD2(1, 0.93), SIMD2(0.86, 0.93),
  SIMD2(1.04, 1.04), SIMD2(0.93, 1.04), SIMD2(1.04, 0.93), SIMD2(0.96, 1), SIMD2(0.82, 0.96), SIMD2(0.9, 0.86),
]

@inline(__always)
func fitAffineSuperBlock(_ block: Lanes, _ shape: AffineShape) -> AffineSuperBlock {
  var fits = AffineSuperBlock()
  for g in 0..<block.groups { fits[g] = fitAffine(block.group(g), shape) }
  let (first, second) = (fits.low, fits.high)
  let d = max(cv_largest(first.scale), cv_largest(second.scale)) / shape.scaleLevels
  let dmin = max(cv_largest(first.min), cv_largest(second.min)) / shape.scaleLevels
  var best = AffineSuperBlock()
  guard d > negligible || dmin > negligible else { return best }
  var bestError = Float.infinity
  var energies = (low: block.group(0).energy, high: cv_splat(0))
  if block.groups > 1 { energies.high = block.group(1).energy }
  for k in 0..<shape.trials {
    var trial = AffineSuperBlock(d: half(d * ratios[k].x), dmin: half(dmin * ratios[k].y))
    let error = chooseIntegers(block, shape, fits, energies, &trial)
    if error < bestError { (bestError, best) = (error, trial) }
  }
  for _ in 0..<2 {
    var trial = AffineSuperBlock()
    (trial.d, trial.dmin) = solveSteps(block, shape, best)
    if trial.d == best.d && trial.dmin == best.dmin { break }
    let error = chooseIntegers(block, shape, fits, energies, &trial)
    guard error < bestError else { break }
    (bestError, best) = (error, trial)
  }
  if shape.magnitudeWeight > 0 { leaveZeros(block, shape, &best) }
  best.stored = shape.correctsShrinkage ? shrinkageCorrected(block, shape, best) : (best.d, best.dmin)
  return best
}

/// The nearest half-precision number; larger values become the largest finite one.
@inline(__always) func half(_ value: Float) -> Float16 {
  let rounded = Float16(value)
  return rounded.isInfinite ? (value < 0 ? -Float16.greatestFiniteMagnitude : .greatestFiniteMagnitude) : rounded
}

/// Chooses scale and min of every sub-block for the trial's d and dmin; returns the error.
@inline(__always)
private func chooseIntegers(
  _ block: Lanes, _ shape: AffineShape, _ fits: AffineSuperBlock, _ energies: (low: Lane, high: Lane),
  _ trial: inout AffineSuperBlock
) -> Float {
  let zero = cv_splat(0)
  let one = cv_splat(1)
  let top = cv_splat(shape.scaleLevels)
  let levels = cv_splat(shape.levels)
  let (d, dmin) = (cv_splat(Float(trial.d)), cv_splat(Float(trial.dmin)))
  let (inverse, inverseMin) = (d.reciprocal, dmin.reciprocal)
  var total = zero
  for g in 0..<block.groups {
    let fit = fits[g]
    let middle = cv_clamp(cv_round(fit.scale * inverse), zero, top)
    var lowest = g == 0 ? energies.low : energies.high
    var chosen = AffineFit()
    for move: Float in [0, -1, 1] {
      let scale = cv_clamp(middle + cv_splat(move), zero, top)
      let step = scale * d
      let ideal = cv_fma(step - fit.scale, levels * cv_splat(0.5), fit.min) * inverseMin
      let below = cv_clamp(cv_round(ideal - cv_splat(0.5)), zero, top)
      let above = cv_min(below + one, top)
      let (under, over) = affineErrors(
        block.group(g), levels: levels, AffineFit(scale: step, min: below * dmin),
        AffineFit(scale: step, min: above * dmin))
      chosen.scale = cv_where_less(under, lowest, scale, chosen.scale)
      chosen.min = cv_where_less(under, lowest, below, chosen.min)
      lowest = cv_min(lowest, under)
      chosen.scale = cv_where_less(over, lowest, scale, chosen.scale)
      chosen.min = cv_where_less(over, lowest, above, chosen.min)
      lowest = cv_min(lowest, over)
    }
    trial[g] = chosen
    total += lowest
  }
  return cv_sum(total)
}

/// Turns each sub-block into zeros whose error by importance alone, without the weight of magnitudes, exceeds that of zeros.
@inline(__always)
private func leaveZeros(_ block: Lanes, _ shape: AffineShape, _ fit: inout AffineSuperBlock) {
  let zero = cv_splat(0)
  let (d, dmin) = (cv_splat(Float(fit.d)), cv_splat(Float(fit.dmin)))
  for g in 0..<block.groups {
    let byImportance = block.group(g).byImportance
    let found = AffineFit(scale: fit[g].scale * d, min: fit[g].min * dmin)
    let (error, _) = affineErrors(byImportance, levels: cv_splat(shape.levels), found, found)
    let energy = byImportance.energy
    fit[g].scale = cv_where_less(energy, error, zero, fit[g].scale)
    fit[g].min = cv_where_less(energy, error, zero, fit[g].min)
  }
}

/// Sums over a super-block for x ≈ d * a + dmin * b, where a = scale * q and b = -min.
private struct StepSums {
  var aa: Float
  var ab: Float
  var bb: Float
  var xa: Float
  var xb: Float
}

@inline(__always)
private func stepSums(_ block: Lanes, _ shape: AffineShape, _ fit: AffineSuperBlock, byImportance: Bool) -> StepSums {
  let zero = cv_splat(0)
  let levels = cv_splat(shape.levels)
  let (d, dmin) = (cv_splat(Float(fit.d)), cv_splat(Float(fit.dmin)))
  var (aa, ab, bb, xa, xb) = (zero, zero, zero, zero, zero)
  for g in 0..<block.groups {
    let part = byImportance ? block.group(g).byImportance : block.group(g)
    let (scale, min) = (fit[g].scale, fit[g].min)
    let inverse = (scale * d).reciprocal
    let bias = min * dmin * inverse
    var (w, wx, wq, qq, xq) = (zero, zero, zero, zero, zero)
    for i in 0..<part.length {
      let (xi, wi) = (part.x[i], part.w[i])
      let q = cv_clamp(cv_round(cv_fma(xi, inverse, bias)), zero, levels)
      let product = wi * q
      w += wi
      wx = cv_fma(wi, xi, wx)
      wq += product
      qq = cv_fma(product, q, qq)
      xq = cv_fma(product, xi, xq)
    }
    aa = cv_fma(scale * scale, qq, aa)
    ab -= scale * min * wq
    bb = cv_fma(min * min, w, bb)
    xa = cv_fma(scale, xq, xa)
    xb -= min * wx
  }
  return StepSums(aa: cv_sum(aa), ab: cv_sum(ab), bb: cv_sum(bb), xa: cv_sum(xa), xb: cv_sum(xb))
}

/// The least-squares d and dmin for the block's integers, from the normal equations.
@inline(__always)
private func solveSteps(_ block: Lanes, _ shape: AffineShape, _ fit: AffineSuperBlock) -> (Float16, Float16) {
  let sums = stepSums(block, shape, fit, byImportance: false)
  let (a, b, c, y, z) = (sums.aa, sums.ab, sums.bb, sums.xa, sums.xb)
  let determinant = a * c - b * b
  guard determinant > a * c * 1e-6 else { return (a > 0 ? half(max(0, y / a)) : fit.d, fit.dmin) }
  return (half(max(0, (y * c - z * b) / determinant)), half(max(0, (a * z - b * y) / determinant)))
}

/// d and dmin, enlarged to correct shrinkage. Unchanged where sums are unusable, or where the corrected block would have a
/// larger error than zeros.
@inline(__always)
private func shrinkageCorrected(
  _ block: Lanes, _ shape: AffineShape, _ fit: AffineSuperBlock
) -> (d: Float16, dmin: Float16) {
  let sums = stepSums(block, shape, fit, byImportance: true)
  var energy = block.group(0).byImportance.energy
  if block.groups > 1 { energy += block.group(1).byImportance.energy }
  let xx = cv_sum(energy)
  func products(_ d: Float16, _ dmin: Float16) -> Products {
    let (d, dmin) = (Float(d), Float(dmin))
    return Products(
      xx: xx, xy: d * sums.xa + dmin * sums.xb,
      yy: d * d * sums.aa + 2 * d * dmin * sums.ab + dmin * dmin * sums.bb)
  }
  let before = products(fit.d, fit.dmin)
  guard before.areUseful else { return (fit.d, fit.dmin) }
  let factor = before.correctedScale
  let (d, dmin) = (half(Float(fit.d) * factor), half(Float(fit.dmin) * factor))
  return products(d, dmin).beatZeros ? (d, dmin) : (fit.d, fit.dmin)
}
