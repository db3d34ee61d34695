import CBlocks
import Tensors

/// Error feedback in formats that round each weight separately.
///
/// The plain encoder chooses the first scales of a super-block (or block) for its targets, with D as weights. Then, sub-block
/// after sub-block, the errors of the panel's earlier columns are fed in, and scales near the first are tried: each rounds
/// the sub-block column by column with feedback. The whole super-block is tried with several factors of d and dmin. With the
/// best scale, several paths through the levels of a sub-block are followed.
struct ScalarFeedback: FeedbackFormat {
  struct Choice: BitwiseCopyable {
    /// d, scales and mins of a super-block.
    var stored = SuperBlockScales()
    /// Steps and offsets of eight blocks of 32, where there is no super-block.
    var steps = InlineArray<8, Float>(repeating: 0)
    var offsets = InlineArray<8, Float>(repeating: 0)
    /// Codes as they are packed, in natural order.
    var codes = InlineArray<256, UInt8>(repeating: 0)
  }

  let shape: ScalarShape
  let effort: FeedbackEffort
  let tables: ScalarTables
  var type: GGMLType { shape.type }
  var blank: Choice { Choice() }

  init(_ shape: ScalarShape, metric: FeedbackMetric, effort: FeedbackEffort) {
    precondition(shape.length <= max(32, metric.groupColumns), "\(shape.type) with groups of \(metric.groupColumns)")
    self.shape = shape
    self.effort = effort
    let descends = effort >= .descent
    tables = metric.storage.table("scalar \(shape.length) \(descends)") {
      ScalarTables(metric, length: shape.length, descends: descends)
    }
  }

  /// Factors of the plain encoder's d and dmin that are tried.
  private static let factors: [Float] = [1, 0.97, 1.03, 0.94, 1.06, 0.91]

  func encode(_ panel: FeedbackPanel, into choices: UnsafeMutablePointer<Choice>) {
    ScalarScratch.with { scratch in
      let (best, trial) = (scratch.best, scratch.trial)
      start(panel, scratch.best)
      let (d, dmin) = (best.steps[0], best.steps[1])
      let (first, firstMins) = (scratch.firstScales, scratch.firstScales + ScalarPanel.sizes.subBlocks)
      let subBlocks = panel.columns / shape.length
      first.update(from: best.scales, count: 2 * ScalarPanel.sizes.subBlocks)
      let factors = effort >= .scales && shape.scales != nil ? Self.factors.count : 1
      var lowest = cv_splat(.infinity)
      for k in 0..<factors {
        trial.steps[0] = k == 0 ? d : cf_half(d * cv_splat(Self.factors[k]))
        trial.steps[1] = k == 0 ? dmin : cf_half(dmin * cv_splat(Self.factors[k]))
        var total = cv_splat(0)
        for s in 0..<subBlocks {
          total += encodeSubBlock(panel, s, scale: first[s] * d, offset: firstMins[s] * dmin, scratch)
        }
        if k == 0 {
          lowest = total
          best.take(trial, where: cv_splat(0), isBelow: cv_splat(1), columns: panel.columns, subBlocks: subBlocks)
        } else {
          best.take(trial, where: total, isBelow: lowest, columns: panel.columns, subBlocks: subBlocks)
          lowest = cv_where_less(total, lowest, total, lowest)
        }
      }
      panel.errors.update(from: best.errors, count: panel.columns)
      panel.values.update(from: best.values, count: panel.columns)
      store(panel, best, into: choices)
    }
  }

  /// Feeds the errors of the trial's earlier sub-blocks into sub-block `s`, chooses its scale and rounds it. Returns its cost.
  private func encodeSubBlock(
    _ panel: FeedbackPanel, _ s: Int, scale: Lane, offset: Lane, _ scratch: ScalarScratch
  ) -> Lane {
    let (trial, length) = (scratch.trial, shape.length)
    let start = s * length
    cf_feed(
      panel.targets + start, trial.errors, panel.factor + start, FeedbackPanel.stride, start, length, scratch.targets)
    let table = SubBlockTable(
      factor: tables.factors + (panel.index * FeedbackPanel.stride + start) * length, pivots: panel.pivots + start)
    choose(table, s, scale: scale, offset: offset, effort >= .scales ? .wide : .none, scratch)
    return round(table, s, at: start, scratch)
  }

  /// Rounds sub-block `s` for `scratch.targets` with the trial's scale and min; its errors, values and levels begin at
  /// `start`. Returns its cost.
  func round(_ table: SubBlockTable, _ s: Int, at start: Int, _ scratch: ScalarScratch) -> Lane {
    let (trial, length) = (scratch.trial, shape.length)
    let (step, offset) = (trial.steps[0] * trial.scales[s], trial.steps[1] * trial.mins[s])
    let searches = effort >= .scales
    if searches {
      cf_search(
        scratch.targets, table.factor, table.pivots, length, shape.levels, step, offset, trial.levels + start)
    }
    return cf_round(
      scratch.targets, table.factor, table.pivots, length, shape.levels, step, offset, searches ? 1 : 0,
      trial.errors + start, trial.values + start, trial.levels + start)
  }
}

/// The metric within a sub-block.
struct SubBlockTable {
  let factor: UnsafePointer<Float>
  let pivots: UnsafePointer<Float>
}
