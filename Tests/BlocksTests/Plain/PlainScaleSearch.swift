// The searches of the encoders as plain loops over one sub-block after another. The vector code has to equal them to
// the last bit. Their results are decoded weights, so they do not depend on the packing of blocks.

struct PlainLevels {
  let low: Float
  let high: Float
  /// The offset of the extreme beyond either end.
  let offsets: [Float]
  /// The difference of the offsets at the high end.
  var shift: Float = 0
  /// The number of integer scales that are tried on either side.
  var moves = 1
  /// The factor of |x| / rms in the weight of an error (see `plainWeighedByMagnitude`).
  var magnitudeWeight: Float = 0
  /// All levels; empty where they are the integers from low to high.
  var values: [Float] = []

  func nearest(_ v: Float) -> Float {
    if values.isEmpty { return min(max(v.rounded(.toNearestOrEven), low), high) }
    var best = values[0]
    for value in values where abs(value - v) < abs(best - v) { best = value }
    return best
  }

  static let q3 = PlainLevels(low: -4, high: 3, offsets: stride(from: -0.75, through: 1, by: 0.25).map { $0 })
  static let q4 = PlainLevels(
    low: -8, high: 7, offsets: stride(from: -1.5, through: 0.75, by: 0.25).map { $0 }, magnitudeWeight: 1)
  static let q5 = PlainLevels(
    low: -16, high: 15, offsets: stride(from: -2, through: 1.5, by: 0.5).map { $0 }, magnitudeWeight: 0.7)
  static let q6 = PlainLevels(
    low: -32, high: 31, offsets: stride(from: -2, through: 0.5, by: 0.5).map { $0 }, moves: 4, magnitudeWeight: 0.5)
  static let q8 = PlainLevels(
    low: -127, high: 127, offsets: stride(from: -2, through: 0, by: 0.5).map { $0 }, shift: 0.25)
  static let iq4 = PlainLevels(
    low: -127, high: 113, offsets: stride(from: -24, through: 12, by: 4).map { $0 },
    values: [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])
}

func plainReciprocal(_ v: Float) -> Float { abs(v) > 0x1p-60 ? 1 / v : 0 }

func plainHalf(_ v: Float) -> Float {
  let rounded = Float16(v)
  return Float(rounded.isInfinite ? (v < 0 ? -Float16.greatestFiniteMagnitude : .greatestFiniteMagnitude) : rounded)
}

/// The sum of eight lanes, in the order of the vector code.
func plainSum(_ v: [Float]) -> Float {
  (v[0] + v[4]) + (v[2] + v[6]) + ((v[1] + v[5]) + (v[3] + v[7]))
}

/// The weights of errors in the search, given their importance, for 256 weights or fewer at a row's end.
func plainWeighedByMagnitude(_ x: ArraySlice<Float>, _ w: ArraySlice<Float>, _ magnitudeWeight: Float, length: Int)
  -> ArraySlice<Float>
{
  guard magnitudeWeight > 0 else { return w }
  let cut = x.map { min(max($0, -0x1p30), 0x1p30) }
  var energy = [Float](repeating: 0, count: 8)
  for (i, x) in cut.enumerated() { energy[i / length % 8].addProduct(x, x) }
  let unit = plainReciprocal((plainSum(energy) / Float(cut.count)).squareRoot()) * magnitudeWeight
  return zip(w, cut).map { $0 * Float(1).addingProduct(abs($1), unit) }[...]
}

struct PlainBlock {
  var x: [Float]
  /// The weights of errors in the search.
  var w: [Float]
  /// The weights of errors by importance alone.
  var byImportance: [Float]

  init(_ x: ArraySlice<Float>, _ w: ArraySlice<Float>, byImportance: ArraySlice<Float>? = nil) {
    self.x = x.map { min(max($0, -0x1p30), 0x1p30) }
    self.w = Array(w)
    self.byImportance = Array(byImportance ?? w)
  }

  /// The same block with errors weighted by importance alone.
  var byImportanceAlone: PlainBlock {
    var block = self
    block.w = byImportance
    return block
  }

  /// The error of zeros.
  var energy: Float {
    var energy: Float = 0
    for (x, w) in zip(x, w) { energy.addProduct(w * x, x) }
    return energy
  }

  func sums(_ levels: PlainLevels, _ inverse: Float) -> (xq: Float, qq: Float) {
    var (xq, qq): (Float, Float) = (0, 0)
    for (x, w) in zip(x, w) {
      let q = levels.nearest(x * inverse)
      let wq = w * q
      qq.addProduct(wq, q)
      xq.addProduct(wq, x)
    }
    return (xq, qq)
  }

  func scale(_ levels: PlainLevels) -> Float {
    var extreme: Float = 0
    for x in x where abs(x) > abs(extreme) { extreme = x }
    let unit = plainReciprocal(extreme)
    var (best, bestGain): (Float, Float) = (0, 0)
    func attempt(_ inverse: Float) {
      let (xq, qq) = sums(levels, inverse)
      let scale = xq * plainReciprocal(qq)
      if scale * xq > bestGain { (best, bestGain) = (scale, scale * xq) }
    }
    for offset in levels.offsets {
      attempt(unit * (levels.low - offset))
      attempt(unit * (levels.high + offset + levels.shift))
    }
    attempt(plainReciprocal(best))
    return best
  }

  func error(_ levels: PlainLevels, _ step: Float) -> Float {
    let inverse = plainReciprocal(step)
    var error: Float = 0
    for (x, w) in zip(x, w) {
      let r = (-x).addingProduct(step, levels.nearest(x * inverse))
      error.addProduct(w * r, r)
    }
    return error
  }

  func integers(_ levels: PlainLevels, _ step: Float) -> [Float] {
    let inverse = plainReciprocal(step)
    return x.map { levels.nearest($0 * inverse) }
  }
}

/// Up to eight blocks of 32 weights with a scale each.
func plainScaledBlocks(_ levels: PlainLevels, _ x: ArraySlice<Float>, _ w: ArraySlice<Float>) -> [Float] {
  zip(stride(from: 0, to: x.count, by: 32), plainBlockScales(levels, x, w)).flatMap { start, d in
    PlainBlock(x.dropFirst(start).prefix(32), w.dropFirst(start).prefix(32)).integers(levels, d).map { d * $0 }
  }
}

/// Their scales.
func plainBlockScales(_ levels: PlainLevels, _ x: ArraySlice<Float>, _ w: ArraySlice<Float>) -> [Float] {
  let weighed = plainWeighedByMagnitude(x, w, levels.magnitudeWeight, length: 32)
  return stride(from: 0, to: x.count, by: 32).map { start in
    let block = PlainBlock(
      x.dropFirst(start).prefix(32), weighed.dropFirst(start).prefix(32), byImportance: w.dropFirst(start).prefix(32))
    var d = plainHalf(block.scale(levels))
    if levels.magnitudeWeight > 0 && block.byImportanceAlone.energy < block.byImportanceAlone.error(levels, d) { d = 0 }
    return d
  }
}

/// Σwxx, Σwxy and Σwyy over a super-block.
struct PlainProducts {
  var (xx, xy, yy): (Float, Float, Float)

  /// The least-squares factor of y with three quarters of the shrinkage corrected; nil where y has no component along
  /// x.
  var correctedScale: Float? {
    guard xx.isFinite && xy > 0 && yy > 0 else { return nil }
    return xy / yy + 0.75 * min(max(xx / xy - xy / yy, 0), 0.5 * (xy / yy))
  }
}

/// A super-block of `length`-long sub-blocks with integer scales from -n to n - 1.
struct PlainScaledSuperBlock {
  let levels: PlainLevels
  let n: Float
  let blocks: [PlainBlock]
  let fits: [Float]

  init(_ levels: PlainLevels, n: Float, length: Int, _ x: ArraySlice<Float>, _ w: ArraySlice<Float>) {
    self.levels = levels
    self.n = n
    let weighed = plainWeighedByMagnitude(x, w, levels.magnitudeWeight, length: length)
    blocks = stride(from: 0, to: 256, by: length).map { start in
      PlainBlock(
        x.dropFirst(start).prefix(length), weighed.dropFirst(start).prefix(length),
        byImportance: w.dropFirst(start).prefix(length))
    }
    fits = blocks.map { $0.scale(levels) }
  }

  func total(_ errors: [Float]) -> Float {
    plainSum((0..<8).map { lane in stride(from: lane, to: errors.count, by: 8).reduce(0) { $0 + errors[$1] } })
  }

  func nearestScales(_ d: Float) -> [Float] {
    fits.map { min(max(($0 * (1 / d)).rounded(.toNearestOrEven), -n), n - 1) }
  }

  func refine(_ d: Float, _ scales: inout [Float]) -> Float {
    var errors: [Float] = []
    for (j, block) in blocks.enumerated() {
      let middle = scales[j]
      var least = block.error(levels, middle * d)
      for move in 1...levels.moves {
        for scale in [max(middle - Float(move), -n), min(middle + Float(move), n - 1)] {
          let error = block.error(levels, scale * d)
          if error < least { (least, scales[j]) = (error, scale) }
        }
      }
      errors.append(least)
    }
    return total(errors)
  }

  func solve(_ d: Float, _ scales: [Float]) -> Float {
    var xa = [Float](repeating: 0, count: 8)
    var aa = xa
    for (j, block) in blocks.enumerated() {
      let (xq, qq) = block.sums(levels, plainReciprocal(scales[j] * d))
      xa[j % 8].addProduct(scales[j], xq)
      aa[j % 8].addProduct(scales[j] * scales[j], qq)
    }
    return plainSum(aa) > 0 ? plainHalf(plainSum(xa) / plainSum(aa)) : d
  }

  func shrinkageCorrected(_ d: Float, _ scales: [Float]) -> Float {
    var xx = [Float](repeating: 0, count: 8)
    var (xy, yy) = (xx, xx)
    for (j, block) in blocks.map(\.byImportanceAlone).enumerated() {
      let step = scales[j] * d
      let (xq, qq) = block.sums(levels, plainReciprocal(step))
      xx[j % 8] += block.energy
      xy[j % 8].addProduct(step, xq)
      yy[j % 8].addProduct(step * step, qq)
    }
    let products = PlainProducts(xx: plainSum(xx), xy: plainSum(xy), yy: plainSum(yy))
    guard let scale = products.correctedScale else { return d }
    let stored = plainHalf(d * scale)
    let factor = stored / d
    return factor * factor * products.yy < 2 * (factor * products.xy) ? stored : d
  }

  /// d as weights are rounded with, d as it is stored, and the sub-blocks' scales.
  func chosen(correctsShrinkage: Bool = false) -> (d: Float, stored: Float, scales: [Float]) {
    let (largest, smallest) = (fits.max()!, fits.min()!)
    let extreme = -smallest > largest ? smallest : largest
    guard abs(extreme) > 0x1p-60 else { return (0, 0, fits.map { _ in 0 }) }
    var (best, d, scales): (Float, Float, [Float]) = (.infinity, 0, fits.map { _ in 0 })
    for ratio: Float in [1, 0.985, 1.015, 0.97, 1.03, 0.955, 1.05, 1.07] {
      let trial = plainHalf(extreme / -n * ratio)
      let integers = nearestScales(trial)
      let error = total(zip(blocks, integers).map { $0.error(levels, $1 * trial) })
      if error < best { (best, d, scales) = (error, trial, integers) }
    }
    best = refine(d, &scales)
    let refined = solve(d, scales)
    if refined != d && refined != 0 {
      var integers = nearestScales(refined)
      let error = refine(refined, &integers)
      if error < best { (d, scales) = (refined, integers) }
    }
    if levels.magnitudeWeight > 0 {
      scales = zip(blocks, scales).map {
        $0.byImportanceAlone.energy < $0.byImportanceAlone.error(levels, d * $1) ? 0 : $1
      }
    }
    return (d, correctsShrinkage ? shrinkageCorrected(d, scales) : d, scales)
  }

  func decoded(correctsShrinkage: Bool = false) -> [Float] {
    let (d, stored, scales) = chosen(correctsShrinkage: correctsShrinkage)
    return zip(blocks, scales).flatMap { block, scale in
      block.integers(levels, d * scale).map { stored * scale * $0 }
    }
  }
}
