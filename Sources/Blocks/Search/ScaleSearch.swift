import CBlocks

// x ≈ scale * q, where q is one of a format's levels. For fixed q the best scale is Σwxq / Σwq², and it gains
// (Σwxq)² / Σwq² over x ≈ 0, so that candidates can be compared without a second pass.

/// The scale of each lane with the largest gain.
///
/// Candidates map the extreme to either end of the levels, or near it. The best one gets one more step of Lloyd's algorithm:
/// round with the solved scale, then solve again.
@inline(__always)
func fitScale<L: Levels>(_: L.Type, _ block: Lanes) -> Lane {
  let extreme = Lane.extreme(block.x, count: block.length)
  let unit = extreme.reciprocal
  var best = cv_splat(0)
  var bestGain = cv_splat(0)
  for k in 0..<L.clipOffsets.count {
    let step = L.clipOffsets.first + Float(k) * L.clipOffsets.step
    let (low, high) = fitTwo(
      L.self, block, unit * cv_splat(L.low - step), unit * cv_splat(L.high + step + L.clipOffsets.shift))
    best = cv_where_less(bestGain, low.gain, low.scale, best)
    bestGain = cv_max(bestGain, low.gain)
    best = cv_where_less(bestGain, high.gain, high.scale, best)
    bestGain = cv_max(bestGain, high.gain)
  }
  let again = fitOne(L.self, block, best.reciprocal)
  return cv_where_less(bestGain, again.gain, again.scale, best)
}

struct ScaleFit {
  var scale: Lane
  var gain: Lane
}

@inline(__always) private func solved(_ xq: Lane, _ qq: Lane) -> ScaleFit {
  let scale = xq * qq.reciprocal
  return ScaleFit(scale: scale, gain: scale * xq)
}

@inline(__always) private func fitOne<L: Levels>(_: L.Type, _ block: Lanes, _ inverse: Lane) -> ScaleFit {
  var qq = cv_splat(0)
  var xq = cv_splat(0)
  for i in 0..<block.length {
    let x = block.x[i]
    let q = L.nearest(x * inverse)
    let wq = block.w[i] * q
    qq = cv_fma(wq, q, qq)
    xq = cv_fma(wq, x, xq)
  }
  return solved(xq, qq)
}

/// Sums for two candidates in one pass: their dependency chains overlap.
@inline(__always) private func fitTwo<L: Levels>(
  _: L.Type, _ block: Lanes, _ inverse0: Lane, _ inverse1: Lane
) -> (ScaleFit, ScaleFit) {
  var qq0 = cv_splat(0)
  var xq0 = cv_splat(0)
  var qq1 = cv_splat(0)
  var xq1 = cv_splat(0)
  for i in 0..<block.length {
    let x = block.x[i]
    let w = block.w[i]
    let q0 = L.nearest(x * inverse0)
    let q1 = L.nearest(x * inverse1)
    let wq0 = w * q0
    let wq1 = w * q1
    qq0 = cv_fma(wq0, q0, qq0)
    qq1 = cv_fma(wq1, q1, qq1)
    xq0 = cv_fma(wq0, x, xq0)
    xq1 = cv_fma(wq1, x, xq1)
  }
  return (solved(xq0, qq0), solved(xq1, qq1))
}

/// Σw(x - step * q)² of each lane for two steps.
@inline(__always)
func stepErrors<L: Levels>(_: L.Type, _ block: Lanes, _ step0: Lane, _ step1: Lane) -> (Lane, Lane) {
  let inverse0 = step0.reciprocal
  let inverse1 = step1.reciprocal
  var error0 = cv_splat(0)
  var error1 = cv_splat(0)
  for i in 0..<block.length {
    let x = block.x[i]
    let w = block.w[i]
    let r0 = cv_fma(step0, L.nearest(x * inverse0), cv_splat(0) - x)
    let r1 = cv_fma(step1, L.nearest(x * inverse1), cv_splat(0) - x)
    error0 = cv_fma(w * r0, r0, error0)
    error1 = cv_fma(w * r1, r1, error1)
  }
  return (error0, error1)
}

/// Σwxq and Σwq² of each lane, q being the nearest levels at scale `step`.
@inline(__always)
func stepSums<L: Levels>(_: L.Type, _ block: Lanes, _ step: Lane) -> (xq: Lane, qq: Lane) {
  let inverse = step.reciprocal
  var qq = cv_splat(0)
  var xq = cv_splat(0)
  for i in 0..<block.length {
    let x = block.x[i]
    let q = L.nearest(x * inverse)
    let wq = block.w[i] * q
    qq = cv_fma(wq, q, qq)
    xq = cv_fma(wq, x, xq)
  }
  return (xq, qq)
}

/// Encodes blocks of 32 weights with one scale each. `write` receives a block's index, its scale, and q + offset as bytes
/// (default: q - low).
@inline(__always)
func encodeScaled<L: Levels>(
  _: L.Type, offset: Float = -L.low, _ x: Floats, _ w: Floats, count: Int,
  _ write: (Int, Float16, UnsafeMutablePointer<UInt8>) -> Void
) {
  forEachOctet(x, w, count: count, magnitudeWeight: L.magnitudeWeight) { lanes, x, first, blocks in
    var fit = fitScale(L.self, lanes)
    if L.magnitudeWeight > 0 {
      // Counted by importance alone, no block may be worse than zeros.
      for k in 0..<8 { fit[k] = Float(half(fit[k])) }
      let (error, _) = stepErrors(L.self, lanes.byImportance, fit, fit)
      fit = cv_where_less(lanes.byImportance.energy, error, cv_splat(0), fit)
    }
    var q = InlineArray<32, UInt8>(repeating: 0)
    q.withBytes { q in
      for k in 0..<blocks {
        let d = half(fit[k])
        roundWhole(L.self, x + 32 * k, count: 32, step: Float(d), offset: offset, into: q)
        write(first + k, d, q)
      }
    }
  }
}

/// Rounds `count` weights, a multiple of 8, and stores q + offset as bytes.
@inline(__always)
func roundWhole<L: Levels>(
  _: L.Type, _ x: Floats, count: Int, step: Float, offset: Float, into q: UnsafeMutablePointer<UInt8>
) {
  let inverse = cv_splat(abs(step) > negligible ? 1 / step : 0)
  for i in stride(from: 0, to: count, by: 8) {
    cv_store_bytes(q + i, L.nearest(cv_load(x + i) * inverse) + cv_splat(offset))
  }
}

func roundIQ4(_ x: Floats, step: Float, into q: UnsafeMutablePointer<UInt8>) {
  let inverse = cv_splat(abs(step) > negligible ? 1 / step : 0)
  for i in stride(from: 0, to: 32, by: 8) { cv_store_bytes(q + i, cv_iq4_index(cv_load(x + i) * inverse)) }
}
