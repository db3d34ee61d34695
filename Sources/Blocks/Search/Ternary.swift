import CVectors

// Ternary blocks: x ≈ d * q with q in -1, 0, 1.
//
// A weight becomes ±1 where |x| > t. For the chosen weights d = Σw|x| / Σw is best, and it gains (Σw|x|)² / Σw over
// x ≈ 0. Eight thresholds, in parts of the block's root mean square, are tried in the lanes; the best one's own t = d / 2
// is what rounding to the nearest makes of it.

struct TernaryFit {
  var d: Float16
  /// -1, 0, 1 as 0, 1, 2.
  var q: InlineArray<256, UInt8>
}

func fitTernary(_ x: Floats, _ w: Floats) -> TernaryFit {
  let zero = cv_splat(0)
  var energies = zero
  var weights = zero
  var largest = zero
  for i in stride(from: 0, to: 256, by: 8) {
    let (xi, wi) = (cv_abs(cv_load(x + i)), cv_load(w + i))
    largest = cv_max(largest, xi)
    weights += wi
    energies = cv_fma(wi * xi, xi, energies)
  }
  let rms = (cv_sum(energies) / cv_sum(weights)).squareRoot()
  // Squares of subnormal or huge weights leave Float's range: the largest weight takes the place of their mean.
  let unit = rms.isNormal ? rms : cv_largest(largest) / 2
  var thresholds = SIMD8<Float>(0.3, 0.42, 0.52, 0.6, 0.68, 0.78, 0.9, 1.05) * cv_splat(unit)
  var best: Float = 0
  var bestGain: Float = -1
  for _ in 0..<2 {
    var chosen = zero
    var sums = zero
    for i in 0..<256 {
      let (xi, wi) = (cv_splat(abs(x[i])), cv_splat(w[i]))
      let taken = wi.replacing(with: 0, where: xi .<= thresholds)
      chosen += taken
      sums = cv_fma(taken, xi, sums)
    }
    let scales = sums / chosen.replacing(with: 1, where: chosen .<= zero)
    let gains = scales * sums
    let most = cv_largest(gains)
    if most > bestGain {
      bestGain = most
      var lane = 0
      while gains[lane] != most && lane < 7 { lane += 1 }
      best = scales[lane]
    }
    thresholds = scales * cv_splat(0.5)
  }
  var fit = TernaryFit(d: half(best), q: InlineArray(repeating: 1))
  let threshold = Float(fit.d) / 2
  guard threshold > 0 else { return fit }
  for i in 0..<256 { fit.q[i] = x[i] > threshold ? 2 : x[i] < -threshold ? 0 : 1 }
  return fit
}
