import CVectors

extension CodebookSearch {
  /// The halves that lie nearest to real values of d, as they count for the scaled weights.
  private func rounded(_ d: SIMD8<Float>) -> (halves: SIMD8<Float16>, values: SIMD8<Float>) {
    var halves = SIMD8<Float16>()
    var values = SIMD8<Float>()
    for lane in 0..<8 {
      halves[lane] = half(d[lane] * unit)
      values[lane] = Float(halves[lane]) / unit
    }
    return (halves, values)
  }

  /// Chooses d among sixteen values: all sub-blocks take the better of the two scales around their own.
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
        // What a codeword costs is 2 s (s b / 2 - a).
        let (half0, half1) = (s0 * cv_splat(0.5), s1 * cv_splat(0.5))
        var cost0 = zero
        var cost1 = zero
        for o in range(j) {
          var least0 = cv_splat(.infinity)
          var least1 = least0
          for lane in 0..<8 {
            let a = cv_splat(self.a[8 * o + lane])
            let b = cv_splat(self.b[8 * o + lane])
            least0 = cv_lesser(cv_fma(half0, b, -a), least0)
            least1 = cv_lesser(cv_fma(half1, b, -a), least1)
          }
          cost0 += least0
          cost1 += least1
        }
        cost0 *= s0
        cost1 *= s1
        total += cv_min(cost0, cost1)
      }
      let least = cv_smallest(total)
      if least < best {
        best = least
        for lane in 0..<8 where total[lane] == least {
          block.d = halves[lane]
          break
        }
      }
    }
  }
}
