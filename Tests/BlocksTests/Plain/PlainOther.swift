// The remaining encoders as plain loops.

/// MXFP4: the power of two that maps the largest weight between 4 and 8, the next larger and the next smaller.
func plainMXFP4(_ x: ArraySlice<Float>, _ w: ArraySlice<Float>) -> [Float] {
  let block = PlainBlock(x, w)
  func nearest(_ v: Float) -> Float {
    let a = abs(v)
    // A value in the middle of two levels is rounded to the one with the even mantissa.
    let level = a < 4 ? a.rounded(.toNearestOrEven) : a < 8 ? 2 * (a / 2).rounded(.toNearestOrEven) : nearestOf8(a)
    return v < 0 ? -level : level
  }
  func nearestOf8(_ a: Float) -> Float { min(12, 4 * (a / 4).rounded(.toNearestOrEven)) }
  func error(_ step: Float) -> Float {
    let inverse = plainReciprocal(step)
    var error: Float = 0
    for (x, w) in zip(block.x, block.w) {
      let r = (-x).addingProduct(step, nearest(x * inverse))
      error.addProduct(w * r, r)
    }
    return error
  }
  let largest = block.x.map { abs($0) }.max()!
  let middle = largest.isNormal ? Float(sign: .plus, exponent: largest.exponent, significand: 1) / 8 : 0
  var (step, least) = (middle, error(middle))
  for candidate in [2 * middle, middle / 2] where error(candidate) < least {
    (step, least) = (candidate, error(candidate))
  }
  guard step > 0x1p-60 else { return x.map { _ in 0 } }
  return x.map { step * nearest($0 / step) }
}

/// Ternary: the best of all thresholds.
///
/// Unlike the other plain searches it is not that of the encoder, which tries sixteen, but a lower bound of the error.
func bestTernaryError(_ x: ArraySlice<Float>, _ w: ArraySlice<Float>) -> Double {
  let pairs = zip(x, w).map { (abs(Double($0)), Double($1)) }.sorted { $0.0 > $1.0 }
  let energy = pairs.reduce(0) { $0 + $1.1 * $1.0 * $1.0 }
  var (weight, sum, best) = (0.0, 0.0, 0.0)
  for (a, w) in pairs {
    weight += w
    sum += w * a
    best = max(best, sum * sum / weight)
  }
  return energy - best
}
