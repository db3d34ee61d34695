import CVectors

// Plain rounding to a block's extreme.

/// The extreme weight becomes -levels.
func roundToExtreme(_ x: Floats, levels: Float) -> (d: Float16, q: InlineArray<32, Int8>) {
  var extreme: Float = 0
  for i in 0..<32 where abs(x[i]) > abs(extreme) { extreme = x[i] }
  let d = half(extreme / -levels)
  let inverse = d != 0 ? 1 / Float(d) : 0
  return (d, InlineArray { Int8(max(-levels, min(levels - 1, (x[$0] * inverse).rounded(.toNearestOrEven)))) })
}

/// The least weight becomes 0, the greatest `levels`.
func roundToRange(_ x: Floats, levels: Float) -> (d: Float16, m: Float16, q: InlineArray<32, UInt8>) {
  var low = x[0]
  var high = x[0]
  for i in 1..<32 { (low, high) = (min(low, x[i]), max(high, x[i])) }
  let d = half(high / levels - low / levels)
  let m = half(low)
  let inverse = d > 0 ? 1 / Float(d) : 0
  return (
    d, m, InlineArray { UInt8(max(0, min(levels, ((x[$0] - Float(m)) * inverse).rounded(.toNearestOrEven)))) }
  )
}

func nearestLevels(_ x: Floats, step: Float) -> InlineArray<32, UInt8> {
  let inverse = step != 0 ? 1 / step : 0
  return InlineArray { i in
    let value = x[i] * inverse
    var best = 0
    for k in 1..<16 where abs(iq4Levels[k] - value) < abs(iq4Levels[best] - value) { best = k }
    return UInt8(best)
  }
}

func roundToLevels(_ x: Floats) -> (scale: Float, q: InlineArray<32, UInt8>) {
  var extreme: Float = 0
  for i in 0..<32 where abs(x[i]) > abs(extreme) { extreme = x[i] }
  let scale = Float(half(extreme / -127))
  return (scale, nearestLevels(x, step: scale))
}
