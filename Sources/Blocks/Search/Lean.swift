// The scale of least error makes a block too small: what it decodes to has on the weights only the part 1 - e of their
// projection, e being the relative error, so that at one or two bits every matrix of a model damps its input by a tenth or
// a fifth. A scale without that bias has an error that is greater by e²; three quarters of the way cost half of that, and
// the divergence of a whole model falls by a third (IQ1_S), a tenth (Q2_K), a fiftieth (IQ2_S, Q3_K).

/// How far scales lean from the least error (0) to no bias (1).
private let lean: Float = 0.75

/// Σwxx, Σwxy and Σwyy over a super-block, y being what its integers stand for.
struct Products {
  var xx: Float
  var xy: Float
  var yy: Float

  /// What y is to be multiplied with: between the best for these integers, xy / yy, and what leaves no bias, xx / xy. Both
  /// must be positive.
  @inline(__always) var leaningScale: Float {
    let least = xy / yy
    return least + lean * min(max(xx / xy - least, 0), 0.5 * least)
  }

  @inline(__always) var areUseful: Bool { xx.isFinite && xy > 0 && yy > 0 }
  /// By least squares, zeros would be no better.
  @inline(__always) var beatZeros: Bool { yy < 2 * xy }
}
