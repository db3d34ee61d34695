import CBlocks
import Tensors

// Descent. With all other weights fixed, the error of a sub-block with values v is minimal at t = v + H⁻¹g, with H and g of the
// sub-block; other values v' cost (t - v')ᵀH(t - v') more. This is the search of encoding, with the factor of H within the
// sub-block instead of U. After all sub-blocks of a super-block, d and dmin are fitted by least squares.

extension ScalarFeedback {
  func refine(_ panel: FeedbackPanel, choices: UnsafeMutablePointer<Choice>) {
    ScalarScratch.with { scratch in
      let (best, trial) = (scratch.best, scratch.trial)
      let (length, subBlocks) = (shape.length, panel.columns / shape.length)
      (best.steps[0], best.steps[1]) = (cv_splat(1), cv_splat(1))
      for row in 0..<8 { load(choices[row], row, panel, subBlocks, into: best) }
      loadLevels(choices, panel, into: best)
      (trial.steps[0], trial.steps[1]) = (best.steps[0], best.steps[1])
      for s in 0..<subBlocks {
        refineSubBlock(panel, s, scratch)
        if shape.scales == nil { refit(panel, s * length..<(s + 1) * length, scratch) }
      }
      if shape.scales != nil { refit(panel, 0..<panel.columns, scratch) }
      store(panel, best, into: choices)
    }
  }

  /// Rounds a sub-block again, with scales near its present one, in the lanes where that costs less.
  private func refineSubBlock(_ panel: FeedbackPanel, _ s: Int, _ scratch: ScalarScratch) {
    let (best, trial, length) = (scratch.best, scratch.trial, shape.length)
    let start = s * length
    let slot = panel.index * FeedbackPanel.stride + start
    let (values, gradients) = (panel.values + start, panel.gradients + start)
    cf_feed(values, gradients, tables.gramInverses + slot * length, length, length, length, scratch.targets)
    var old = cv_splat(0)
    for i in 0..<length { old = cv_fma(gradients[i], scratch.targets[i] - values[i], old) }
    let table = SubBlockTable(factor: tables.gramFactors + slot * length, pivots: tables.gramPivots + slot)
    choose(
      table, s, scale: best.scales[s] * best.steps[0], offset: best.mins[s] * best.steps[1], .near, scratch)
    let cost = round(table, s, at: 0, scratch)
    // Smaller gains are rounding errors of the two costs.
    let bound = old * cv_splat(1 - 1e-5)
    guard cv_largest(cv_where_less(cost, bound, cv_splat(1), cv_splat(0))) > 0 else { return }
    for i in 0..<length {
      let value = cv_where_less(cost, bound, trial.values[i], values[i])
      trial.errors[i] = value - values[i]
      values[i] = value
      panel.errors[start + i] = panel.targets[start + i] - value
      best.levels[start + i] = cv_where_less(cost, bound, trial.levels[i], best.levels[start + i])
    }
    best.scales[s] = cv_where_less(cost, bound, trial.scales[s], best.scales[s])
    best.mins[s] = cv_where_less(cost, bound, trial.mins[s], best.mins[s])
    // g -= H δ
    cf_feed(
      panel.gradients, trial.errors, panel.gram + start * FeedbackPanel.stride, FeedbackPanel.stride, length,
      panel.columns, panel.gradients)
  }

  /// Fits d and dmin (or a block's step and offset) again: with A = scale * level and B = min, values are d A - dmin B, and
  /// a change of x in d and z in dmin changes the error by x² AHA - 2xz AHB + z² BHB - 2x Ag + 2z Bg.
  private func refit(_ panel: FeedbackPanel, _ columns: Range<Int>, _ scratch: ScalarScratch) {
    let (best, first, second) = (scratch.best, scratch.first, scratch.second)
    let (start, count, length) = (columns.lowerBound, columns.count, shape.length)
    let isBlock = shape.scales == nil
    let block = start / length
    // A and B, then -HA and -HB.
    let (a, b) = (scratch.trial.errors, scratch.trial.values)
    for c in 0..<count {
      let s = (start + c) / length
      a[c] = isBlock ? best.levels[start + c] : best.levels[start + c] * best.scales[s]
      b[c] = isBlock ? cv_splat(1) : best.mins[s]
      (first[c], second[c]) = (cv_splat(0), cv_splat(0))
    }
    let gram = panel.gram + start * FeedbackPanel.stride + start
    cf_feed(first, a, gram, FeedbackPanel.stride, count, count, first)
    if shape.isAffine { cf_feed(second, b, gram, FeedbackPanel.stride, count, count, second) }
    var (aa, ab, bb, ag, bg) = (cv_splat(0), cv_splat(0), cv_splat(0), cv_splat(0), cv_splat(0))
    for c in 0..<count {
      let g = panel.gradients[start + c]
      aa -= a[c] * first[c]
      ag += a[c] * g
      guard shape.isAffine else { continue }
      ab -= b[c] * first[c]
      bb -= b[c] * second[c]
      bg += b[c] * g
    }
    let (d, dmin) = isBlock ? (best.scales[block], best.mins[block]) : (best.steps[0], best.steps[1])
    // d alone, if there is no dmin, or d and dmin are nearly dependent.
    var x = ag * aa.reciprocal
    var z = cv_splat(0)
    if shape.isAffine {
      let determinant = aa * bb - ab * ab
      let isSolvable = cv_splat(1e-5) * aa * bb
      let inverse = determinant.reciprocal
      x = cv_where_less(isSolvable, determinant, (ag * bb - bg * ab) * inverse, x)
      z = cv_where_less(isSolvable, determinant, (ab * ag - aa * bg) * inverse, z)
    }
    let newD = shape.stored(d + x)
    var newMin = shape.stored(dmin + z)
    if !isBlock { newMin = cv_max(newMin, cv_splat(0)) }
    x = newD - d
    z = newMin - dmin
    var change = x * x * aa - cv_splat(2) * x * ag
    if shape.isAffine {
      change += z * z * bb - cv_splat(2) * x * z * ab
      change += cv_splat(2) * z * bg
    }
    let zero = cv_splat(0)
    guard cv_largest(cv_where_less(change, zero, cv_splat(1), zero)) > 0 else { return }
    x = cv_where_less(change, zero, x, zero)
    z = cv_where_less(change, zero, z, zero)
    let chosen = cv_where_less(change, zero, newD, d)
    let chosenMin = cv_where_less(change, zero, newMin, dmin)
    if isBlock {
      (best.scales[block], best.mins[block]) = (chosen, chosenMin)
    } else {
      (best.steps[0], best.steps[1]) = (chosen, chosenMin)
    }
    for c in start..<start + count {
      let s = c / length
      let step = isBlock ? chosen : chosen * best.scales[s]
      let offset = isBlock ? chosenMin : chosenMin * best.mins[s]
      let product = step * best.levels[c]
      panel.values[c] = product - offset
      panel.errors[c] = panel.targets[c] - panel.values[c]
    }
    // g of the panel's other columns, which later blocks look at.
    guard isBlock else { return }
    for c in 0..<count {
      (a[c], b[c]) = (x * a[c], z * b[c])
      a[c] -= b[c]
    }
    cf_feed(
      panel.gradients, a, panel.gram + start * FeedbackPanel.stride, FeedbackPanel.stride, count, panel.columns,
      panel.gradients)
  }
}
