import CVectors

// The scale of least error makes a block too small: what it decodes to has on the weights only the part 1 - e of their
// projection, e being the relative error, so that at one or two bits every matrix of a model damps its input by a tenth or
// a fifth. A scale without that bias has an error that is greater by e²; three quarters of the way cost half of that, and
// the divergence of a whole model falls by a third (IQ1_S), a tenth (Q2_K), a fiftieth (IQ2_S, Q3_K).

/// How far scales lean from the least error (0) to no bias (1).
private let lean: Float = 0.75

/// The scale between the best for fixed integers, xy / yy, and the one without bias, xx / xy: Σwxx, Σwxy and Σwyy, where y
/// is what the integers stand for at the scale 1. Both must be positive.
@inline(__always) func leaningScale(xx: Float, xy: Float, yy: Float) -> Float {
  let least = xy / yy
  return least + lean * min(max(xx / xy - least, 0), 0.5 * least)
}

/// Σwxx, Σwxy and Σwyy over a super-block, y being what it decodes to.
@inline(__always) private func products(
  _ block: some Block, _ x: Floats, _ w: Floats
) -> (xx: Float, xy: Float, yy: Float) {
  var decoded = InlineArray<256, Float>(repeating: 0)
  return withUnsafeMutablePointer(to: &decoded) { decoded in
    let y = UnsafeMutableRawPointer(decoded).assumingMemoryBound(to: Float.self)
    block.decode(into: y)
    var (xx, xy, yy) = (cv_splat(0), cv_splat(0), cv_splat(0))
    for i in stride(from: 0, to: 256, by: 8) {
      let (xi, yi, wi) = (cv_load(x + i), cv_load(y + i), cv_load(w + i))
      xx = cv_fma(wi * xi, xi, xx)
      xy = cv_fma(wi * xi, yi, xy)
      yy = cv_fma(wi * yi, yi, yy)
    }
    return (cv_sum(xx), cv_sum(xy), cv_sum(yy))
  }
}

/// The super-block with its scales multiplied as far as they are to lean, its integers as they are; or as it is, where there
/// is nothing to go by, or where rounding of the scales leaves more error than zeros have.
@inline(__always) func leaning<B: Block>(
  _ block: B, to x: Floats, weights w: Floats, _ multiply: (inout B, Float) -> Void
) -> B {
  let (xx, xy, yy) = products(block, x, w)
  guard xx.isFinite, xy > 0, yy > 0 else { return block }
  var leaning = block
  multiply(&leaning, leaningScale(xx: xx, xy: xy, yy: yy))
  let after = products(leaning, x, w)
  return after.yy < 2 * after.xy ? leaning : block
}
