import CBlocks

// A super-block of 256 weights in sub-blocks of 16 or 32: x ≈ (d * scale) * q with a signed integer scale from -n to n - 1
// for each sub-block. Q3_K (n = 32), Q6_K (n = 128) and IQ4_XS (n = 32) are of this form.
//
// 1. Each sub-block is fitted with a real scale.
// 2. Several d are tried. Each maps the scale of largest magnitude to -n or near it, and rounds the others.
// 3. For the best d, each sub-block tries the integers next to its rounded scale.
// 4. d is solved for again by least squares with these integers, and scales are chosen again. The better result is kept.

struct ScaledSuperBlock {
  /// The scale that weights are rounded with.
  var d: Float16 = 0
  /// The scale that the block stores: d, enlarged where shrinkage is corrected.
  var stored: Float16 = 0
  /// Integer scales as floats, for the first and the second eight sub-blocks.
  var low = cv_splat(0)
  var high = cv_splat(0)

  subscript(group: Int) -> Lane {
    get { group == 0 ? low : high }
    set { if group == 0 { low = newValue } else { high = newValue } }
  }

  /// The integer scale of sub-block `j`.
  func scale(_ j: Int) -> Int { Int(j < 8 ? low[j] : high[j - 8]) }
}

/// Factors of the first d, one per trial.
private let ratios: InlineArray<8, Float> = [1, 0.985, 1.015, 0.97, 1.03, 0.955, 1.05, 1.07]

@inline(__always)
func fitScaledSuperBlock<L: Levels>(_: L.Type, _ block: Lanes, scaleLevels n: Float) -> ScaledSuperBlock {
  var fits = ScaledSuperBlock()
  for g in 0..<block.groups { fits[g] = fitScale(L.self, block.group(g)) }
  let (a, b) = (fits.low, fits.high)
  let largest = max(cv_largest(a), cv_largest(b))
  let smallest = min(cv_smallest(a), cv_smallest(b))
  let extreme = -smallest > largest ? smallest : largest
  var best = ScaledSuperBlock()
  guard abs(extreme) > negligible else { return best }
  let base = extreme / -n
  var bestError = Float.infinity
  for k in stride(from: 0, to: ratios.count, by: 2) {
    let d0 = half(base * ratios[k])
    let d1 = half(base * ratios[k + 1])
    var error0 = cv_splat(0)
    var error1 = cv_splat(0)
    var trial0 = ScaledSuperBlock(d: d0)
    var trial1 = ScaledSuperBlock(d: d1)
    for g in 0..<block.groups {
      trial0[g] = nearestScale(fits[g], d0, n)
      trial1[g] = nearestScale(fits[g], d1, n)
      let errors = stepErrors(L.self, block.group(g), trial0[g] * cv_splat(Float(d0)), trial1[g] * cv_splat(Float(d1)))
      error0 += errors.0
      error1 += errors.1
    }
    let (total0, total1) = (cv_sum(error0), cv_sum(error1))
    if total0 < bestError { (bestError, best) = (total0, trial0) }
    if total1 < bestError { (bestError, best) = (total1, trial1) }
  }
  for round in 0..<2 {
    if round > 0 {
      let refined = solveStep(L.self, block, best)
      if refined == best.d || refined == 0 { break }
      var trial = ScaledSuperBlock(d: refined)
      for g in 0..<block.groups { trial[g] = nearestScale(fits[g], refined, n) }
      let error = refineScales(L.self, block, &trial, n)
      if error < bestError {
        bestError = error
        best = trial
      }
    } else {
      bestError = refineScales(L.self, block, &best, n)
    }
  }
  if L.magnitudeWeight > 0 {
    // Counted by importance alone, no sub-block may be worse than zeros.
    let d = cv_splat(Float(best.d))
    for g in 0..<block.groups {
      let byImportance = block.group(g).byImportance
      let (error, _) = stepErrors(L.self, byImportance, best[g] * d, best[g] * d)
      best[g] = cv_where_less(byImportance.energy, error, cv_splat(0), best[g])
    }
  }
  best.stored = L.correctsShrinkage ? shrinkageCorrected(L.self, block, best) : best.d
  return best
}

@inline(__always) private func nearestScale(_ fit: Lane, _ d: Float16, _ n: Float) -> Lane {
  cv_clamp(cv_round(fit * cv_splat(1 / Float(d))), cv_splat(-n), cv_splat(n - 1))
}

/// Moves each scale to the nearby integer of lowest error, and returns the total error.
@inline(__always)
private func refineScales<L: Levels>(_: L.Type, _ block: Lanes, _ trial: inout ScaledSuperBlock, _ n: Float) -> Float {
  var total = cv_splat(0)
  let d = cv_splat(Float(trial.d))
  for g in 0..<block.groups {
    let middle = trial[g]
    var (lowest, _) = stepErrors(L.self, block.group(g), middle * d, middle * d)
    var scale = middle
    for move in 1...L.moves {
      let below = cv_max(middle - cv_splat(Float(move)), cv_splat(-n))
      let above = cv_min(middle + cv_splat(Float(move)), cv_splat(n - 1))
      let (under, over) = stepErrors(L.self, block.group(g), below * d, above * d)
      scale = cv_where_less(under, lowest, below, scale)
      lowest = cv_min(lowest, under)
      scale = cv_where_less(over, lowest, above, scale)
      lowest = cv_min(lowest, over)
    }
    trial[g] = scale
    total += lowest
  }
  return cv_sum(total)
}

/// d, enlarged to correct shrinkage. Unchanged where sums are unusable, or where the block would have a larger error than zeros.
@inline(__always)
private func shrinkageCorrected<L: Levels>(_: L.Type, _ block: Lanes, _ fit: ScaledSuperBlock) -> Float16 {
  var (xx, xy, yy) = (cv_splat(0), cv_splat(0), cv_splat(0))
  let d = cv_splat(Float(fit.d))
  for g in 0..<block.groups {
    let byImportance = block.group(g).byImportance
    let step = fit[g] * d
    let (xq, qq) = stepSums(L.self, byImportance, step)
    xx += byImportance.energy
    xy = cv_fma(step, xq, xy)
    yy = cv_fma(step * step, qq, yy)
  }
  var products = Products(xx: cv_sum(xx), xy: cv_sum(xy), yy: cv_sum(yy))
  guard products.areUseful else { return fit.d }
  let stored = half(Float(fit.d) * products.correctedScale)
  let factor = Float(stored) / Float(fit.d)
  products.xy *= factor
  products.yy *= factor * factor
  return products.beatZeros ? stored : fit.d
}

/// The least-squares d for the block's integers.
@inline(__always)
private func solveStep<L: Levels>(_: L.Type, _ block: Lanes, _ fit: ScaledSuperBlock) -> Float16 {
  var xa = cv_splat(0)
  var aa = cv_splat(0)
  let d = cv_splat(Float(fit.d))
  for g in 0..<block.groups {
    let scale = fit[g]
    let (xq, qq) = stepSums(L.self, block.group(g), scale * d)
    xa = cv_fma(scale, xq, xa)
    aa = cv_fma(scale * scale, qq, aa)
  }
  let sum = cv_sum(aa)
  return sum > 0 ? half(cv_sum(xa) / sum) : fit.d
}
