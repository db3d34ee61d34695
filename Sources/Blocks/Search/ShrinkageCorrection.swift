// The least-squares scale shrinks a block: the component of the decoded block along the weights is only 1 - e (e: relative
// error), so at one or two bits every matrix of a model damps its input by a tenth or a fifth. The scale without shrinkage,
// xx / xy, has a relative error larger by e². Three quarters of the way cost half of that. Measured effect on the KL
// divergence of a whole model: a third lower (IQ1_S), a tenth (Q2_K), a fiftieth (IQ2_S, Q3_K).

/// Share of the correction that is applied, from the least-squares scale (0) to no shrinkage (1). Chosen by KL divergence.
private let share: Float = 0.75

/// Σwxx, Σwxy and Σwyy over a super-block; x are its weights and y the decoded integers.
struct Products {
  var xx: Float
  var xy: Float
  var yy: Float

  /// Factor of y between the least-squares scale, xy / yy, and the scale without shrinkage, xx / xy; at most 1.5 times the
  /// former. Both must be positive.
  @inline(__always) var correctedScale: Float {
    let leastSquares = xy / yy
    return leastSquares + share * min(max(xx / xy - leastSquares, 0), 0.5 * leastSquares)
  }

  @inline(__always) var areUseful: Bool { xx.isFinite && xy > 0 && yy > 0 }
  /// Whether the squared error is smaller than that of zeros.
  @inline(__always) var beatZeros: Bool { yy < 2 * xy }
}
