import CVectors

// The search for x ≈ scale * q - min with q in 0...levels and min >= 0, weighted.
//
// Eight candidates lie in the eight lanes of a vector, and the elements are walked once for all of them: no horizontal
// sums, no branches. For fixed integers q the best (scale, min) is a 2x2 least-squares problem with the sums
//   w = Σw, x = Σwx, q = Σwq, qq = Σwq², xq = Σwxq
// and its error is Σwx² - scale * xq + min * x, so that candidates compare without a second walk.

/// The result of a search over one sub-block.
struct AffineFit {
  var scale: Float
  /// What is subtracted; not negative.
  var min: Float
}

/// Sums over a sub-block, eight candidates at once.
private struct AffineSums {
  var q = cv_splat(0)
  var qq = cv_splat(0)
  var xq = cv_splat(0)
}

@inline(__always) private func affineSums(
  _ x: Floats, _ w: Floats, _ count: Int, inverse: SIMD8<Float>, bias: SIMD8<Float>, levels: SIMD8<Float>
) -> AffineSums {
  var sums = AffineSums()
  let zero = cv_splat(0)
  for i in 0..<count {
    let q = cv_min(cv_max(cv_round(cv_fma(cv_splat(x[i]), inverse, bias)), zero), levels)
    let wq = cv_splat(w[i]) * q
    sums.q += wq
    sums.qq = cv_fma(wq, q, sums.qq)
    sums.xq = cv_fma(wq, cv_splat(x[i]), sums.xq)
  }
  return sums
}

/// The best scale and min for each candidate's integers, and what they gain over x ≈ 0.
@inline(__always) private func solveAffine(
  _ sums: AffineSums, w: Float, wx: Float
) -> (scale: SIMD8<Float>, min: SIMD8<Float>, gain: SIMD8<Float>) {
  let zero = cv_splat(0)
  let sw = cv_splat(w)
  let sx = cv_splat(wx)
  let determinant = sw * sums.qq - sums.q * sums.q
  let usable = determinant .> cv_splat(0)
  let reciprocal = cv_splat(1) / determinant.replacing(with: 1, where: .!usable)
  var scale = (sw * sums.xq - sx * sums.q) * reciprocal
  var offset = (sums.qq * sx - sums.q * sums.xq) * reciprocal
  // Without a way to add, an offset above zero is cut to zero and the scale is fitted alone.
  let alone = (offset .> zero) .| .!usable
  let plain = sums.xq / sums.qq.replacing(with: 1, where: sums.qq .<= zero)
  scale.replace(with: plain, where: alone)
  offset.replace(with: 0, where: alone)
  // A negative scale can't be stored: such a candidate is worth nothing.
  let bad = .!(scale .> zero)
  scale.replace(with: 0, where: bad)
  offset.replace(with: 0, where: bad)
  return (scale, zero - offset, scale * sums.xq + offset * sx)
}

/// The best (scale, min) found for `count` elements. `spread` says how far the candidates' ranges differ, in steps.
func fitAffine(_ x: Floats, _ w: Floats, count: Int, levels: Int, spread: Float) -> AffineFit {
  var low = x[0]
  var high = x[0]
  var sumW: Float = 0
  var sumX: Float = 0
  for i in 0..<count {
    low = Swift.min(low, x[i])
    high = Swift.max(high, x[i])
    sumW += w[i]
    sumX += w[i] * x[i]
  }
  low = Swift.min(low, 0)
  guard high > low else { return AffineFit(scale: 0, min: -low) }
  let top = cv_splat(Float(levels))
  let steps = SIMD8<Float>(-3, -2, -1, 0, 1, 2, 3, 4) * cv_splat(spread / 4)
  var inverse = (top + steps) / cv_splat(high - low)
  var bias = cv_splat(-low) * inverse
  var best = AffineFit(scale: (high - low) / Float(levels), min: -low)
  var bestGain = -Float.infinity
  // The second walk rounds with what the first one solved for: one step of Lloyd's algorithm for every candidate.
  for _ in 0..<2 {
    let solved = solveAffine(
      affineSums(x, w, count, inverse: inverse, bias: bias, levels: top), w: sumW, wx: sumX)
    let largest = cv_largest(solved.gain)
    if largest > bestGain {
      bestGain = largest
      for lane in 0..<8 where solved.gain[lane] == largest {
        best = AffineFit(scale: solved.scale[lane], min: solved.min[lane])
        break
      }
    }
    let usable = solved.scale .> cv_splat(0)
    inverse = (cv_splat(1) / solved.scale.replacing(with: 1, where: .!usable)).replacing(with: inverse, where: .!usable)
    bias = (solved.min * inverse).replacing(with: bias, where: .!usable)
  }
  return best
}
