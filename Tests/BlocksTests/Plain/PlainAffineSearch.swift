// x ≈ scale * q - min, written as plain loops over one sub-block after another.

struct PlainAffine: Equatable {
  var scale: Float = 0
  var min: Float = 0
}

struct PlainAffineShape {
  let length: Int
  let levels: Float
  /// 0 where each block has its scale and min as halves.
  var scaleLevels: Float = 0
  let offsets: [Float]
  var trials = 1
  var magnitudeWeight: Float = 0

  static func offsets(_ first: Float, _ step: Float, _ count: Int) -> [Float] {
    (0..<count).map { first + Float($0) * step }
  }

  static let q4_1 = PlainAffineShape(length: 32, levels: 15, offsets: offsets(-0.5, 0.3, 6))
  static let q5_1 = PlainAffineShape(length: 32, levels: 31, offsets: offsets(-0.5, 0.3, 6))
  static let q2_K = PlainAffineShape(
    length: 16, levels: 3, scaleLevels: 15, offsets: offsets(-0.4, 0.2, 6), trials: 8, magnitudeWeight: 0.25)
  static let q4_K = PlainAffineShape(
    length: 32, levels: 15, scaleLevels: 63, offsets: offsets(-0.6, 0.25, 8), trials: 2, magnitudeWeight: 0.7)
  static let q5_K = PlainAffineShape(
    length: 32, levels: 31, scaleLevels: 63, offsets: offsets(-0.6, 0.25, 8), trials: 2, magnitudeWeight: 1)
}

extension PlainBlock {
  private func integer(_ x: Float, _ inverse: Float, _ bias: Float, _ levels: Float) -> Float {
    Swift.min(Swift.max(bias.addingProduct(x, inverse).rounded(.toNearestOrEven), 0), levels)
  }

  struct AffineSums {
    var (w, wx, q, qq, xq): (Float, Float, Float, Float, Float) = (0, 0, 0, 0, 0)
  }

  func affineSums(_ inverse: Float, _ bias: Float, _ levels: Float) -> AffineSums {
    var sums = AffineSums()
    for (x, w) in zip(x, w) {
      let q = integer(x, inverse, bias, levels)
      let wq = w * q
      sums.w += w
      sums.wx.addProduct(w, x)
      sums.q += wq
      sums.qq.addProduct(wq, q)
      sums.xq.addProduct(wq, x)
    }
    return sums
  }

  func affine(_ shape: PlainAffineShape) -> PlainAffine {
    let isPositive = shape.scaleLevels > 0
    var low = x.min()!
    if isPositive { low = Swift.min(low, 0) }
    let unit = plainReciprocal(x.max()! - low)
    let all = affineSums(0, 0, shape.levels)
    let mean = all.wx * plainReciprocal(all.w)
    let flat = isPositive ? Swift.min(mean, 0) : mean
    var best = PlainAffine(scale: 0, min: 0 - flat)
    var bestGain = flat * all.wx
    func attempt(_ inverse: Float, _ bias: Float) {
      let s = affineSums(inverse, bias, shape.levels)
      let determinant = s.w * s.qq - s.q * s.q
      let reciprocal = determinant > s.w * s.qq * 1e-6 ? 1 / determinant : 0
      var scale = (s.w * s.xq - s.wx * s.q) * reciprocal
      var min = (s.q * s.xq - s.qq * s.wx) * reciprocal
      if isPositive && (min < 0 || reciprocal == 0) { (scale, min) = (s.xq * plainReciprocal(s.qq), 0) }
      let gain = scale > 0 ? scale * s.xq - min * s.wx : 0
      if gain > bestGain { (best, bestGain) = (PlainAffine(scale: scale, min: min), gain) }
    }
    let step = shape.offsets[1] - shape.offsets[0]
    for under in shape.offsets {
      for (k, over) in shape.offsets.enumerated() {
        // Candidates are pairs, the second one relative to the first.
        let reach = k % 2 == 0 ? under + over : under + shape.offsets[k - 1] + step
        let inverse = (shape.levels + reach) * unit
        attempt(inverse, -under - low * inverse)
      }
    }
    for _ in 0..<2 {
      let inverse = plainReciprocal(best.scale)
      attempt(inverse, best.min * inverse)
    }
    return best
  }

  func error(_ fit: PlainAffine, _ levels: Float) -> Float {
    let inverse = plainReciprocal(fit.scale)
    var error: Float = 0
    for (x, w) in zip(x, w) {
      let r = (0 - fit.min).addingProduct(fit.scale, integer(x, inverse, fit.min * inverse, levels)) - x
      error.addProduct(w * r, r)
    }
    return error
  }

  func integers(_ fit: PlainAffine, _ levels: Float) -> [Float] {
    let inverse = plainReciprocal(fit.scale)
    return x.map { integer($0, inverse, fit.min * inverse, levels) }
  }

  func rounded(_ fit: PlainAffine, _ levels: Float) -> [Float] {
    integers(fit, levels).map { fit.scale * $0 - fit.min }
  }
}

func plainAffineBlock(_ shape: PlainAffineShape, _ x: ArraySlice<Float>, _ w: ArraySlice<Float>) -> [Float] {
  let block = PlainBlock(x, w)
  let fit = block.affine(shape)
  let half = PlainAffine(scale: plainHalf(fit.scale), min: -plainHalf(-fit.min))
  return block.rounded(block.energy < block.error(half, shape.levels) ? PlainAffine() : half, shape.levels)
}

struct PlainAffineSuperBlock {
  let shape: PlainAffineShape
  let blocks: [PlainBlock]
  let fits: [PlainAffine]

  init(_ shape: PlainAffineShape, _ x: ArraySlice<Float>, _ w: ArraySlice<Float>) {
    self.shape = shape
    let length = shape.length
    let weighed = plainWeighedByMagnitude(x, w, shape.magnitudeWeight, length: length)
    blocks = stride(from: 0, to: 256, by: length).map { start in
      PlainBlock(
        x.dropFirst(start).prefix(length), weighed.dropFirst(start).prefix(length),
        byImportance: w.dropFirst(start).prefix(length))
    }
    fits = blocks.map { $0.affine(shape) }
  }

  struct Trial {
    var d: Float
    var dmin: Float
    var integers: [PlainAffine] = []
    var error = Float.infinity
  }

  func total(_ values: [Float]) -> Float {
    plainSum((0..<8).map { lane in stride(from: lane, to: values.count, by: 8).reduce(0) { $0 + values[$1] } })
  }

  func chosen(_ d: Float, _ dmin: Float) -> Trial {
    let top = shape.scaleLevels
    func clamp(_ v: Float) -> Float { min(max(v, 0), top) }
    var trial = Trial(d: d, dmin: dmin)
    var errors: [Float] = []
    for (block, fit) in zip(blocks, fits) {
      let middle = clamp((fit.scale * plainReciprocal(d)).rounded(.toNearestOrEven))
      var least = block.energy
      var best = PlainAffine()
      for move: Float in [0, -1, 1] {
        let scale = clamp(middle + move)
        let ideal = fit.min.addingProduct(scale * d - fit.scale, shape.levels * 0.5) * plainReciprocal(dmin)
        let below = clamp((ideal - 0.5).rounded(.toNearestOrEven))
        for minimum in [below, min(below + 1, top)] {
          let error = block.error(PlainAffine(scale: scale * d, min: minimum * dmin), shape.levels)
          if error < least { (least, best) = (error, PlainAffine(scale: scale, min: minimum)) }
        }
      }
      trial.integers.append(best)
      errors.append(least)
    }
    trial.error = total(errors)
    return trial
  }

  /// Sums for x ≈ d * a + dmin * b: of aa, ab, bb, xa and xb.
  func sums(_ trial: Trial, _ blocks: [PlainBlock]) -> [Float] {
    var sums = [[Float]](repeating: [Float](repeating: 0, count: 8), count: 5)
    for (j, (block, pair)) in zip(blocks, trial.integers).enumerated() {
      let inverse = plainReciprocal(pair.scale * trial.d)
      let s = block.affineSums(inverse, pair.min * trial.dmin * inverse, shape.levels)
      sums[0][j % 8].addProduct(pair.scale * pair.scale, s.qq)
      sums[1][j % 8] -= pair.scale * pair.min * s.q
      sums[2][j % 8].addProduct(pair.min * pair.min, s.w)
      sums[3][j % 8].addProduct(pair.scale, s.xq)
      sums[4][j % 8] -= pair.min * s.wx
    }
    return sums.map(plainSum)
  }

  func shrinkageCorrected(_ trial: Trial) -> (Float, Float) {
    let plainly = blocks.map(\.byImportanceAlone)
    let xx = total(plainly.map(\.energy))
    let s = sums(trial, plainly)
    func products(_ d: Float, _ dmin: Float) -> PlainProducts {
      PlainProducts(
        xx: xx, xy: d * s[3] + dmin * s[4], yy: d * d * s[0] + 2 * d * dmin * s[1] + dmin * dmin * s[2])
    }
    guard let factor = products(trial.d, trial.dmin).correctedScale else { return (trial.d, trial.dmin) }
    let (d, dmin) = (plainHalf(trial.d * factor), plainHalf(trial.dmin * factor))
    let after = products(d, dmin)
    return after.yy < 2 * after.xy ? (d, dmin) : (trial.d, trial.dmin)
  }

  func solved(_ trial: Trial) -> (d: Float, dmin: Float) {
    let sums = sums(trial, blocks)
    let (a, b, c, y, z) = (sums[0], sums[1], sums[2], sums[3], sums[4])
    let determinant = a * c - b * b
    guard determinant > a * c * 1e-6 else { return (a > 0 ? plainHalf(max(0, y / a)) : trial.d, trial.dmin) }
    return (plainHalf(max(0, (y * c - z * b) / determinant)), plainHalf(max(0, (a * z - b * y) / determinant)))
  }

  /// d, dmin and the sub-blocks' integers; weights are rounded with these.
  func best() -> Trial {
    let d = fits.map(\.scale).max()! / shape.scaleLevels
    let dmin = fits.map(\.min).max()! / shape.scaleLevels
    guard d > 0x1p-60 || dmin > 0x1p-60 else {
      return Trial(d: 0, dmin: 0, integers: fits.map { _ in PlainAffine() })
    }
    let ratios: [(Float, Float)] = [
      (1, 1), (0.93, 0.96), (0.96, 0.9), (0.9, 1), (1, 0.93), (0.86, 0.93), (1.04, 1.04), (0.93, 1.04),
    ]
    var best = Trial(d: 0, dmin: 0, integers: fits.map { _ in PlainAffine() })
    for ratio in ratios.prefix(shape.trials) {
      let trial = chosen(plainHalf(d * ratio.0), plainHalf(dmin * ratio.1))
      if trial.error < best.error { best = trial }
    }
    for _ in 0..<2 {
      let next = solved(best)
      if next == (best.d, best.dmin) { break }
      let trial = chosen(next.d, next.dmin)
      guard trial.error < best.error else { break }
      best = trial
    }
    best.integers = zip(blocks.map(\.byImportanceAlone), best.integers).map { block, pair in
      block.energy < block.error(fit(pair, best.d, best.dmin), shape.levels) ? PlainAffine() : pair
    }
    return best
  }

  private func fit(_ pair: PlainAffine, _ d: Float, _ dmin: Float) -> PlainAffine {
    PlainAffine(scale: d * pair.scale, min: dmin * pair.min)
  }

  func decoded(correctsShrinkage: Bool = false) -> [Float] {
    let best = best()
    let stored = correctsShrinkage ? shrinkageCorrected(best) : (best.d, best.dmin)
    return zip(blocks, best.integers).flatMap { block, pair in
      let decoding = fit(pair, stored.0, stored.1)
      return block.integers(fit(pair, best.d, best.dmin), shape.levels).map { decoding.scale * $0 - decoding.min }
    }
  }
}
