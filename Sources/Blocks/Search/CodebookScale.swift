import CBlocks

extension CodebookSearch {
  /// The nearest half-precision values of d, and the same in units of the scaled weights.
  private func rounded(_ d: SIMD8<Float>) -> (halves: SIMD8<Float16>, values: SIMD8<Float>) {
    var halves = SIMD8<Float16>()
    var values = SIMD8<Float>()
    for lane in 0..<8 {
      halves[lane] = half(d[lane] * unit)
      values[lane] = Float(halves[lane]) / unit
    }
    return (halves, values)
  }

  /// Chooses d among sixteen values. For each, every sub-block takes the better of the two integer scales around its fit.
  mutating func chooseScale(_ largest: Float) {
    let zero = cv_splat(0)
    var best = Float.infinity
    let top = cv_splat(Float(shape.scaleLevels - 1))
    let base = cv_splat(largest / (shape.step * Float(2 * shape.scaleLevels - 1)))
    for ratios in [
      SIMD8<Float>(0.9, 0.92, 0.94, 0.96, 0.98, 1, 1.02, 1.04), SIMD8(1.06, 1.08, 1.1, 1.12, 1.14, 1.17, 1.2, 1.24),
    ] {
      let (halves, d) = rounded(base * ratios)
      let step = d * cv_splat(shape.step)
      let inverse = cv_splat(1) / cv_max(step, cv_splat(.leastNormalMagnitude))
      var total = zero
      for j in 0..<shape.subBlocks {
        let ideal = (cv_splat(fits[j]) * inverse - cv_splat(1)) * cv_splat(0.5)
        let near = cv_clamp(cv_round(ideal - cv_splat(0.5)), zero, top)
        let next = cv_min(near + cv_splat(1), top)
        let s0 = step * (near + near + cv_splat(1))
        let s1 = step * (next + next + cv_splat(1))
        // The cost of a codeword is 2 s (s b / 2 - a).
        let (half0, half1) = (s0 * cv_splat(0.5), s1 * cv_splat(0.5))
        var cost0 = zero
        var cost1 = zero
        for o in range(j) {
          var lowest0 = cv_splat(.infinity)
          var lowest1 = lowest0
          for lane in 0..<8 {
            let a = cv_splat(self.a[8 * o + lane])
            let b = cv_splat(self.b[8 * o + lane])
            lowest0 = cv_lesser(cv_fma(half0, b, -a), lowest0)
            lowest1 = cv_lesser(cv_fma(half1, b, -a), lowest1)
          }
          cost0 += lowest0
          cost1 += lowest1
        }
        cost0 *= s0
        cost1 *= s1
        total += cv_min(cost0, cost1)
      }
      let lowest = cv_smallest(total)
      if lowest < best {
        best = lowest
        for lane in 0..<8 where total[lane] == lowest {
          block.d = halves[lane]
          break
        }
      }
    }
  }
}
