import CBlocks

// Ternary blocks: x ≈ d * q with q in -1, 0, 1.
//
// A weight becomes ±1 where |x| > t. For those weights d = Σw|x| / Σw is best, and it gains (Σw|x|)² / Σw over x ≈ 0. Eight
// thresholds are tried, as fractions of the block's root mean square, then eight around half the best d: rounding to the
// nearest means t = d / 2, so this is a step of Lloyd's algorithm.

/// Magnitudes, weights and products of 256 elements.
private struct TernaryStorage {
  var a = InlineArray<256, Float>(repeating: 0)
  var w = InlineArray<256, Float>(repeating: 0)
  var wa = InlineArray<256, Float>(repeating: 0)
}

private struct TernarySearch {
  let a: UnsafeMutablePointer<Float>
  var w: UnsafeMutablePointer<Float> { a + 256 }
  var wa: UnsafeMutablePointer<Float> { a + 512 }
  var best: Float = 0
  var bestGain: Float = -1

  @inline(__always) mutating func tryThresholds(_ thresholds: SIMD4<Float>) {
    var thresholds = thresholds
    var weights = SIMD4<Float>()
    var sums = SIMD4<Float>()
    withUnsafePointer(to: &thresholds) { t in
      withUnsafeMutablePointer(to: &weights) { n in
        withUnsafeMutablePointer(to: &sums) { s in
          cv_above4(
            a, w, wa, 32, UnsafeRawPointer(t).assumingMemoryBound(to: Float.self),
            UnsafeMutableRawPointer(n).assumingMemoryBound(to: Float.self),
            UnsafeMutableRawPointer(s).assumingMemoryBound(to: Float.self))
        }
      }
    }
    for k in 0..<4 where weights[k] > 0 {
      let scale = sums[k] / weights[k]
      if scale * sums[k] > bestGain { (bestGain, best) = (scale * sums[k], scale) }
    }
  }
}

/// Returns the best d, and stores 0, 1, 2 for -1, 0, 1 in `q`.
func fitTernary(_ x: Floats, _ weights: Floats, into q: UnsafeMutablePointer<UInt8>) -> Float16 {
  var storage = TernaryStorage()
  let best = withUnsafeMutablePointer(to: &storage) { storage in
    var search = TernarySearch(a: UnsafeMutableRawPointer(storage).assumingMemoryBound(to: Float.self))
    var energies = cv_splat(0)
    var total = cv_splat(0)
    for i in stride(from: 0, to: 256, by: 8) {
      // Clipped to what half-precision scales can represent, so that squares stay finite.
      let a = cv_min(cv_abs(cv_load(x + i)), cv_splat(0x1p30))
      let w = cv_load(weights + i)
      let wa = w * a
      total += w
      energies = cv_fma(wa, a, energies)
      cv_store(search.a + i, a)
      cv_store(search.w + i, w)
      cv_store(search.wa + i, wa)
    }
    let rms = (cv_sum(energies) / cv_sum(total)).squareRoot()
    search.tryThresholds(SIMD4(0.3, 0.42, 0.52, 0.6) * rms)
    search.tryThresholds(SIMD4(0.68, 0.78, 0.9, 1.05) * rms)
    search.tryThresholds(SIMD4(0.46, 0.48, 0.5, 0.52) * search.best)
    search.tryThresholds(SIMD4(0.47, 0.49, 0.5, 0.51) * search.best)
    return search.best
  }
  let d = half(best)
  let threshold = d > 0 ? Float(d) / 2 : .infinity
  for i in stride(from: 0, to: 256, by: 8) { cv_store_ternary(q + i, cv_load(x + i), threshold) }
  return d
}
