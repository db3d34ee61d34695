import Blocks
import Tensors

/// Error feedback of one row as plain loops: column after column, one candidate after another. Vector code must equal it to
/// the last bit, so sums are added in its order.
struct PlainFeedback {
  enum Format {
    /// Integers or levels times d and a sub-block's scale.
    case scaledSuperBlock(PlainLevels, length: Int, scales: ClosedRange<Float>, correctsShrinkage: Bool)
    case affineSuperBlock(PlainAffineShape)
    /// Blocks of 32 with a step each.
    case scaledBlocks(PlainLevels)
  }

  let format: Format
  let metric: FeedbackMetric
  /// 1: feedback alone, 2: with scale choice, 3: with descent.
  let effort: Int
  let columns: Int
  /// By position in the order of processing.
  private var weights: [Float]
  private var errors: [Float]
  private var values: [Float]
  private var levels: [Float]
  /// For every sub-block.
  private var scales: [Float]
  private var mins: [Float]
  /// For every panel.
  private var steps: [Float]
  private var minSteps: [Float]

  private var length: Int {
    switch format {
    case .scaledSuperBlock(_, let length, _, _): length
    case .affineSuperBlock(let shape): shape.length
    case .scaledBlocks: 32
    }
  }
  private var isSuperBlock: Bool { if case .scaledBlocks = format { false } else { true } }
  private var isAffine: Bool { if case .affineSuperBlock = format { true } else { false } }

  /// The decoded row, in natural order.
  static func decoded(_ row: [Float], _ format: Format, _ metric: FeedbackMetric, effort: Int) -> [Float] {
    var plain = PlainFeedback(format, metric, effort, row)
    plain.encode()
    for _ in 0..<(effort > 2 ? 3 : 0) { plain.descend() }
    var natural = row
    for (position, column) in metric.order.enumerated() {
      let (p, s) = (position / 256, position / plain.length)
      let product = plain.steps[p] * plain.scales[s] * plain.levels[position]
      natural[Int(column)] = product - plain.minSteps[p] * plain.mins[s]
    }
    return natural
  }

  private init(_ format: Format, _ metric: FeedbackMetric, _ effort: Int, _ row: [Float]) {
    (self.format, self.metric, self.effort, columns) = (format, metric, effort, row.count)
    weights = metric.order.map { row[Int($0)] }
    errors = weights
    values = weights
    levels = weights
    scales = weights
    mins = [Float](repeating: 0, count: columns)
    steps = [Float](repeating: 1, count: columns / 32)
    minSteps = steps
  }

  private func panel(_ start: Int) -> Range<Int> { start..<min(start + 256, columns) }

  /// e A[.., column] over rows, added in pieces of 256 as the matrix product does.
  private func product(_ e: [Float], _ rows: Range<Int>, onto start: Float?, _ matrix: (Int) -> Float) -> Float {
    var total = start
    for begin in stride(from: rows.lowerBound, to: rows.upperBound, by: 256) {
      var sum: Float = 0
      for row in begin..<min(begin + 256, rows.upperBound) { sum.addProduct(matrix(row), e[row]) }
      total = total.map { $0 + sum } ?? sum
    }
    return total ?? 0
  }

  private mutating func encode() {
    for start in stride(from: 0, to: columns, by: 256) {
      let panel = panel(start)
      let targets = panel.map { column in
        let t = product(errors, 0..<start, onto: weights[column]) { -metric.factor(row: $0, column: column) }
        return min(max(t, -0x1p30), 0x1p30)
      }
      begin(panel, targets)
      let (first, firstMins, d, dmin) = (scales, mins, steps[start / 256], minSteps[start / 256])
      var best = self
      var lowest = Float.infinity
      let factors: [Float] = effort > 1 && isSuperBlock ? [1, 0.97, 1.03, 0.94, 1.06, 0.91] : [1]
      for factor in factors {
        var trial = self
        trial.steps[start / 256] = factor == 1 ? d : plainHalf(d * factor)
        trial.minSteps[start / 256] = factor == 1 ? dmin : plainHalf(dmin * factor)
        var total: Float = 0
        for s in panel.lowerBound / length..<panel.upperBound / length {
          let t = (s * length..<(s + 1) * length).map { column in
            (start..<s * length).reduce(targets[column - start]) {
              $0.addingProduct(-trial.errors[$1], metric.factor(row: $1, column: column))
            }
          }
          let local = Local(
            values: (0..<length * length).map {
              metric.factor(row: s * length + $0 / length, column: s * length + $0 % length)
            },
            pivots: (0..<length).map { metric.pivot(s * length + $0) })
          total += trial.search(s, t, local, scale: first[s] * d, offset: firstMins[s] * dmin, isWide: true)
        }
        if factor == 1 || total < lowest { (lowest, best) = (total, trial) }
      }
      self = best
    }
  }

  /// The metric within a sub-block.
  private struct Local {
    /// [length][length]
    let values: [Float]
    let pivots: [Float]

    func factor(_ i: Int, _ j: Int) -> Float { values[i * pivots.count + j] }
  }

  /// Scales that the plain encoder chooses.
  private mutating func begin(_ panel: Range<Int>, _ targets: [Float]) {
    var (x, w) = (targets, targets)
    for position in panel {
      let column = Int(metric.order[position]) - panel.lowerBound
      x[column] = targets[position - panel.lowerBound]
      w[column] = metric.pivot(position)
    }
    let natural: [(Float, Float)]
    switch format {
    case .scaledSuperBlock(let levels, let length, let range, let corrects):
      let fit = PlainScaledSuperBlock(levels, n: range.upperBound + 1, length: length, x[...], w[...])
        .chosen(correctsShrinkage: corrects)
      steps[panel.lowerBound / 256] = fit.stored
      natural = fit.scales.map { ($0, 0) }
    case .affineSuperBlock(let shape):
      let fit = PlainAffineSuperBlock(shape, x[...], w[...]).best()
      (steps[panel.lowerBound / 256], minSteps[panel.lowerBound / 256]) = (fit.d, fit.dmin)
      natural = fit.integers.map { ($0.scale, $0.min) }
    case .scaledBlocks(let levels): natural = plainBlockScales(levels, x[...], w[...]).map { ($0, 0) }
    }
    for s in panel.lowerBound / length..<panel.upperBound / length {
      (scales[s], mins[s]) = natural[(Int(metric.order[s * length]) - panel.lowerBound) / length]
    }
  }

  /// Chooses a sub-block's scale and levels; returns the cost.
  private mutating func search(
    _ s: Int, _ t: [Float], _ local: Local, scale: Float, offset: Float, isWide: Bool
  ) -> Float {
    let (d, dmin) = (steps[s * length / 256], minSteps[s * length / 256])
    var lowest = Float.infinity
    func cost(_ scale: Float, _ min: Float) -> Float { greedyCost(t, local, step: scale * d, offset: min * dmin) }
    switch format {
    case .scaledSuperBlock(_, _, let range, _):
      func integer(_ v: Float) -> Float {
        Swift.min(max(v.rounded(.toNearestOrEven), range.lowerBound), range.upperBound)
      }
      let middle = integer(scale * plainReciprocal(d))
      scales[s] = middle
      let moves = Array(-2...2) + (isWide ? Array(-7 ... -3) + Array(3...7) : [])
      for move in effort > 1 ? moves : [] {
        let candidate = integer(middle + Float(move))
        let cost = cost(candidate, 0)
        if cost < lowest { (lowest, scales[s]) = (cost, candidate) }
      }
    case .affineSuperBlock(let shape):
      func integer(_ v: Float) -> Float { Swift.min(max(v.rounded(.toNearestOrEven), 0), shape.scaleLevels) }
      let middle = integer(scale * plainReciprocal(d))
      func center(_ candidate: Float) -> Float {
        integer(offset.addingProduct((candidate - middle) * d, shape.levels / 2) * plainReciprocal(dmin))
      }
      (scales[s], mins[s]) = (middle, center(middle))
      let radius = isWide ? 3 : 1
      for move in effort > 1 ? Array(-radius...radius) : [] {
        let candidate = integer(middle + Float(move))
        for k in -2...2 {
          let min = integer(center(candidate) + Float(k))
          let cost = cost(candidate, min)
          if cost < lowest { (lowest, scales[s], mins[s]) = (cost, candidate, min) }
        }
      }
    case .scaledBlocks:
      scales[s] = scale
      let factors: [Float] = [
        1, 0.98, 1.02, 0.96, 1.04, 0.94, 0.92, 0.9, 0.87, 0.84, 0.99, 1.01, 0.97, 1.03, 0.95, 0.93, 0.91, 1.06, 0.885,
        1.09,
      ]
      for factor in factors.prefix(effort < 2 ? 0 : isWide ? 20 : 10) {
        let step = plainHalf(scale * factor)
        let cost = cost(step, 0)
        if cost < lowest { (lowest, scales[s]) = (cost, step) }
      }
    }
    return round(s, t, local, step: d * scales[s], offset: dmin * mins[s])
  }

  private func nearest(_ v: Float) -> Float {
    switch format {
    case .scaledSuperBlock(let levels, _, _, _), .scaledBlocks(let levels): levels.nearest(v)
    case .affineSuperBlock(let shape): min(max(v.rounded(.toNearestOrEven), 0), shape.levels)
    }
  }

  private var range: (low: Float, high: Float, values: [Float]) {
    switch format {
    case .scaledSuperBlock(let levels, _, _, _), .scaledBlocks(let levels): (levels.low, levels.high, levels.values)
    case .affineSuperBlock(let shape): (0, shape.levels, [])
    }
  }

  private func greedyCost(_ t: [Float], _ local: Local, step: Float, offset: Float) -> Float {
    let inverse = plainReciprocal(step)
    var e: [Float] = []
    var cost: Float = 0
    for j in 0..<length {
      var x = t[j]
      for i in 0..<j { x.addProduct(e[i], -local.factor(i, j)) }
      let level = nearest((offset * inverse).addingProduct(x, inverse))
      e.append(x - (-offset).addingProduct(step, level))
      cost.addProduct(e[j] * e[j], local.pivots[j])
    }
    return cost
  }

  /// Rounds a sub-block: to the nearest levels, or along the best path.
  private mutating func round(_ s: Int, _ t: [Float], _ local: Local, step: Float, offset: Float) -> Float {
    let inverse = plainReciprocal(step)
    let path = effort > 1 ? path(t, local, step: step, offset: offset) : []
    let start = s * length
    var cost: Float = 0
    for j in 0..<length {
      var sums = [t[j], 0, 0, 0]
      for i in 0..<j { sums[i < j / 4 * 4 ? i % 4 : 0].addProduct(errors[start + i], -local.factor(i, j)) }
      let x = min(max((sums[0] + sums[1]) + (sums[2] + sums[3]), -0x1p30), 0x1p30)
      levels[start + j] = path.isEmpty ? nearest((offset * inverse).addingProduct(x, inverse)) : path[j]
      values[start + j] = step * levels[start + j] - offset
      errors[start + j] = x - values[start + j]
      cost.addProduct(errors[start + j] * errors[start + j], local.pivots[j])
    }
    return cost
  }

  private struct Path {
    var cost: Float
    var targets: [Float]
    var levels: [Float] = []
  }

  /// The cheapest of the paths that take the nearest or the second nearest level at every column, four kept.
  private func path(_ t: [Float], _ local: Local, step: Float, offset: Float) -> [Float] {
    let inverse = plainReciprocal(step)
    let (low, high, all) = range
    var paths = [Path(cost: 0, targets: t)]
    for j in 0..<length {
      var children: [Path] = []
      for path in paths {
        let x = min(max(path.targets[j], -0x1p30), 0x1p30)
        let scaled = (offset * inverse).addingProduct(x, inverse)
        let first = nearest(scaled)
        let above = scaled > first
        let second: Float
        if let index = all.firstIndex(of: first) {
          second = all[min(max(index + (above ? 1 : -1), 0), all.count - 1)]
        } else {
          second = min(max(first + (above ? 1 : -1), low), high)
        }
        for level in second == first ? [first] : [first, second] {
          let e = x - (-offset).addingProduct(step, level)
          var child = Path(
            cost: path.cost.addingProduct(e * e, local.pivots[j]), targets: path.targets, levels: path.levels + [level])
          for k in j + 1..<max(length, j + 1) { child.targets[k].addProduct(e, -local.factor(j, k)) }
          children.append(child)
        }
      }
      children.sort { $0.cost < $1.cost }
      paths = Array(children.prefix(4))
    }
    return paths[0].levels
  }

  private mutating func descend() {
    for position in 0..<columns { errors[position] = weights[position] - values[position] }
    for start in stride(from: 0, to: columns, by: 256) {
      let panel = panel(start)
      var g = [Float](repeating: 0, count: columns)
      for column in panel {
        g[column] = product(errors, 0..<columns, onto: nil) { metric.gram(row: $0, column: column) }
        values[column] = weights[column] - errors[column]
      }
      for s in panel.lowerBound / length..<panel.upperBound / length {
        descend(s, panel, &g)
        if !isSuperBlock { refit(s * length..<(s + 1) * length, panel, &g) }
      }
      if isSuperBlock { refit(panel, panel, &g) }
    }
  }

  private mutating func descend(_ s: Int, _ panel: Range<Int>, _ g: inout [Float]) {
    let start = s * length
    let factor = LocalFactor(length) { Double(metric.gram(row: start + $0, column: start + $1)) }
    let local = Local(
      values: factor.unit.map { Float($0) }, pivots: factor.pivots.map { Float($0) })
    let t = (0..<length).map { i in
      (0..<length).reduce(values[start + i]) {
        $0.addingProduct(-g[start + $1], Float(-factor.inverse[$1 * length + i]))
      }
    }
    var old: Float = 0
    for i in 0..<length { old.addProduct(g[start + i], t[i] - values[start + i]) }
    var trial = self
    let cost = trial.search(
      s, t, local, scale: scales[s] * steps[start / 256], offset: mins[s] * minSteps[start / 256], isWide: false)
    guard cost < old * Float(1 - 1e-5) else { return }
    (scales[s], mins[s]) = (trial.scales[s], trial.mins[s])
    let change = (start..<start + length).map { trial.values[$0] - values[$0] }
    for i in start..<start + length {
      (values[i], levels[i]) = (trial.values[i], trial.levels[i])
      errors[i] = weights[i] - values[i]
    }
    for column in panel {
      for i in 0..<length { g[column].addProduct(-change[i], metric.gram(row: start + i, column: column)) }
    }
  }

  /// Fits a super-block's d and dmin, or a block's step, by least squares.
  private mutating func refit(_ columns: Range<Int>, _ panel: Range<Int>, _ g: inout [Float]) {
    let s = columns.lowerBound / length
    let p = columns.lowerBound / 256
    let a = columns.map { isSuperBlock ? levels[$0] * scales[$0 / length] : levels[$0] }
    let b = columns.map { isAffine ? mins[$0 / length] : 0 }
    func minus(_ vector: [Float]) -> [Float] {
      columns.map { column in
        zip(columns, vector).reduce(Float(0)) {
          $0.addingProduct(-$1.1, metric.gram(row: $1.0, column: column))
        }
      }
    }
    let ha = minus(a)
    let hb = isAffine ? minus(b) : b
    var (aa, ab, bb, ag, bg): (Float, Float, Float, Float, Float) = (0, 0, 0, 0, 0)
    for i in 0..<columns.count {
      aa -= a[i] * ha[i]
      ag += a[i] * g[columns.lowerBound + i]
      ab -= b[i] * ha[i]
      bb -= b[i] * hb[i]
      bg += b[i] * g[columns.lowerBound + i]
    }
    let (d, dmin) = isSuperBlock ? (steps[p], minSteps[p]) : (scales[s], 0)
    var (x, z) = (ag * plainReciprocal(aa), Float(0))
    let determinant = aa * bb - ab * ab
    if isAffine && determinant > 1e-5 * aa * bb {
      let inverse = plainReciprocal(determinant)
      (x, z) = ((ag * bb - bg * ab) * inverse, (ab * ag - aa * bg) * inverse)
    }
    let (newD, newMin) = (plainHalf(d + x), isAffine ? max(plainHalf(dmin + z), 0) : dmin)
    (x, z) = (newD - d, newMin - dmin)
    var change = x * x * aa - 2 * x * ag
    if isAffine {
      change += z * z * bb - 2 * x * z * ab
      change += 2 * z * bg
    }
    guard change < 0 else { return }
    if isSuperBlock { (steps[p], minSteps[p]) = (newD, newMin) } else { scales[s] = newD }
    for i in columns {
      let step = isSuperBlock ? newD * scales[i / length] : newD
      let product = step * levels[i]
      values[i] = product - newMin * (isAffine ? mins[i / length] : 0)
      errors[i] = weights[i] - values[i]
    }
    guard !isSuperBlock else { return }
    for column in panel {
      for i in 0..<columns.count {
        g[column].addProduct(-(x * a[i]), metric.gram(row: columns.lowerBound + i, column: column))
      }
    }
  }
}
