import CVectors

// A super-block of 256 weights in 16 sub-blocks of 16: x ≈ (d * scale) * q with q in -n..<n and a signed integer scale.
// Q3_K (n = 4, scales in -32..<32) and Q6_K (n = 32, scales in -128..<128) are of this form.
//
// As in AffineSuperBlock, eight candidates lie in the lanes. For fixed integers the best scale is Σwxq / Σwq², and it
// gains (Σwxq)² / Σwq² over x ≈ 0.

struct SymmetricSuperBlock {
  var d: Float16 = 0
  var scales = InlineArray<16, Int8>(repeating: 0)
  /// From -n to n - 1.
  var q = InlineArray<256, Int8>(repeating: 0)
}

struct SymmetricShape {
  /// Integers go from -levels to levels - 1.
  let levels: Int
  /// Scales go from -scaleLevels to scaleLevels - 1.
  let scaleLevels: Int
}

private let subBlock = 16

/// The real scale of a sub-block that gains most.
private func fitScale(_ x: Floats, _ w: Floats, levels: Int) -> Float {
  var extreme: Float = 0
  for i in 0..<subBlock where abs(x[i]) > abs(extreme) { extreme = x[i] }
  guard abs(extreme) > 0 else { return 0 }
  let n = Float(levels)
  let low = cv_splat(-n)
  let high = cv_splat(n - 1)
  // The extreme goes to -n (or beyond, cut), or to n - 1 with the sign turned.
  let steps = SIMD8<Float>(-0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1)
  var best: Float = 0
  var bestGain: Float = -1
  for ends in [cv_splat(-n) - steps, cv_splat(n - 1) + steps] {
    let inverse = ends / cv_splat(extreme)
    var qq = cv_splat(0)
    var xq = cv_splat(0)
    for i in 0..<subBlock {
      let xi = cv_splat(x[i])
      let q = cv_clamp(cv_round(xi * inverse), low, high)
      let wq = cv_splat(w[i]) * q
      qq = cv_fma(wq, q, qq)
      xq = cv_fma(wq, xi, xq)
    }
    let scale = xq / qq.replacing(with: 1, where: qq .<= cv_splat(0))
    let gain = scale * xq
    let largest = cv_largest(gain)
    if largest > bestGain {
      bestGain = largest
      for lane in 0..<8 where gain[lane] == largest {
        best = scale[lane]
        break
      }
    }
  }
  return best
}

func fitSymmetricSuperBlock(_ x: Floats, _ w: Floats, _ shape: SymmetricShape) -> SymmetricSuperBlock {
  var fits = InlineArray<16, Float>(repeating: 0)
  var extreme: Float = 0
  for j in 0..<16 {
    fits[j] = fitScale(x + j * subBlock, w + j * subBlock, levels: shape.levels)
    if abs(fits[j]) > abs(extreme) { extreme = fits[j] }
  }
  var best = SymmetricSuperBlock()
  guard extreme != 0 else { return best }
  var current = SymmetricSuperBlock()
  current.d = half(-extreme / Float(shape.scaleLevels))
  var bestError = Float.infinity
  for round in 0..<3 {
    let (error, d) = chooseScales(x, w, shape, fits, &current)
    if error < bestError {
      bestError = error
      best = current
    }
    guard round < 2, d != 0, half(d) != current.d else { break }
    current.d = half(d)
  }
  roundWeights(x, shape, &best)
  return best
}

/// Chooses every sub-block's integer scale for the given d among the eight around its real one; returns the weighted
/// error and the d that would serve these integers best.
private func chooseScales(
  _ x: Floats, _ w: Floats, _ shape: SymmetricShape, _ fits: InlineArray<16, Float>, _ block: inout SymmetricSuperBlock
) -> (error: Float, d: Float) {
  let d = Float(block.d)
  guard d != 0 else { return (.infinity, 0) }
  let zero = cv_splat(0)
  let low = cv_splat(Float(-shape.levels))
  let high = cv_splat(Float(shape.levels - 1))
  let lowScale = cv_splat(Float(-shape.scaleLevels))
  let highScale = cv_splat(Float(shape.scaleLevels - 1))
  var total: Float = 0
  var xa: Float = 0
  var aa: Float = 0
  for j in 0..<16 {
    let start = j * subBlock
    let nearest = (fits[j] / d).rounded()
    let scales = cv_clamp(cv_splat(nearest) + SIMD8<Float>(-3, -2, -1, 0, 1, 2, 3, 4), lowScale, highScale)
    let step = scales * cv_splat(d)
    let usable = step .!= zero
    let inverse = (cv_splat(1) / step.replacing(with: 1, where: .!usable)).replacing(with: 0, where: .!usable)
    var qq = zero
    var xq = zero
    var energy: Float = 0
    for i in start..<start + subBlock {
      let xi = cv_splat(x[i])
      let q = cv_clamp(cv_round(xi * inverse), low, high)
      let wq = cv_splat(w[i]) * q
      qq = cv_fma(wq, q, qq)
      xq = cv_fma(wq, xi, xq)
      energy += w[i] * x[i] * x[i]
    }
    // Σw(x - sq)² = Σwx² - 2sΣwxq + s²Σwq²
    let error = cv_splat(energy) + step * (step * qq - (xq + xq))
    let least = cv_smallest(error)
    var lane = 0
    while error[lane] != least && lane < 7 { lane += 1 }
    total += least
    let scale = scales[lane]
    block.scales[j] = Int8(scale)
    xa += scale * xq[lane]
    aa += scale * scale * qq[lane]
  }
  return (total, aa > 0 ? xa / aa : 0)
}

private func roundWeights(_ x: Floats, _ shape: SymmetricShape, _ block: inout SymmetricSuperBlock) {
  let low = cv_splat(Float(-shape.levels))
  let high = cv_splat(Float(shape.levels - 1))
  for j in 0..<16 {
    let step = Float(block.d) * Float(block.scales[j])
    guard step != 0 else { continue }
    let inverse = cv_splat(1 / step)
    for i in stride(from: j * subBlock, to: (j + 1) * subBlock, by: 8) {
      let q = cv_to_i32(cv_clamp(cv_round(cv_load(x + i) * inverse), low, high))
      for k in 0..<8 { block.q[i + k] = Int8(truncatingIfNeeded: q[k]) }
    }
  }
}
