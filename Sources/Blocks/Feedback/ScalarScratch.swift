import CBlocks
import Tensors

/// Levels and scales of eight rows' panel.
struct ScalarPanel {
  let errors: UnsafeMutablePointer<Lane>
  let values: UnsafeMutablePointer<Lane>
  /// The levels that weights are rounded to.
  let levels: UnsafeMutablePointer<Lane>
  /// For every sub-block.
  let scales: UnsafeMutablePointer<Lane>
  let mins: UnsafeMutablePointer<Lane>
  /// d and dmin.
  let steps: UnsafeMutablePointer<Lane>

  static let sizes = (panel: FeedbackMetric.panelColumns, subBlocks: FeedbackMetric.panelColumns / 16)
  static var count: Int { 3 * sizes.panel + 2 * sizes.subBlocks + 2 }

  init(_ base: UnsafeMutablePointer<Lane>) {
    errors = base
    values = base + Self.sizes.panel
    levels = base + 2 * Self.sizes.panel
    scales = base + 3 * Self.sizes.panel
    mins = scales + Self.sizes.subBlocks
    steps = mins + Self.sizes.subBlocks
  }

  /// Takes over the lanes of `other` in which `a` is below `b`.
  func take(_ other: ScalarPanel, where a: Lane, isBelow b: Lane, columns: Int, subBlocks: Int) {
    for c in 0..<columns {
      errors[c] = cv_where_less(a, b, other.errors[c], errors[c])
      values[c] = cv_where_less(a, b, other.values[c], values[c])
      levels[c] = cv_where_less(a, b, other.levels[c], levels[c])
    }
    for s in 0..<subBlocks {
      scales[s] = cv_where_less(a, b, other.scales[s], scales[s])
      mins[s] = cv_where_less(a, b, other.mins[s], mins[s])
    }
    for k in 0..<2 { steps[k] = cv_where_less(a, b, other.steps[k], steps[k]) }
  }
}

/// Working memory of a panel.
struct ScalarScratch {
  let best: ScalarPanel
  let trial: ScalarPanel
  /// A sub-block's targets.
  let targets: UnsafeMutablePointer<Lane>
  /// Steps, offsets and costs of candidates.
  let steps: UnsafeMutablePointer<Lane>
  let offsets: UnsafeMutablePointer<Lane>
  let costs: UnsafeMutablePointer<Lane>
  /// Scales, then mins, that the plain encoder chose.
  let firstScales: UnsafeMutablePointer<Lane>
  /// Two vectors of a panel's columns.
  let first: UnsafeMutablePointer<Lane>
  let second: UnsafeMutablePointer<Lane>

  static let trials = Int(CF_TRIALS)

  static func with<R>(_ body: (ScalarScratch) -> R) -> R {
    let fixed = Int(CF_COLUMNS) + 3 * trials + 2 * ScalarPanel.sizes.subBlocks + 2 * FeedbackMetric.panelColumns
    return withUnsafeTemporaryAllocation(
      byteCount: (2 * ScalarPanel.count + fixed) * MemoryLayout<Lane>.stride, alignment: 64
    ) { bytes in
      let base = bytes.baseAddress!.assumingMemoryBound(to: Lane.self)
      let targets = base + 2 * ScalarPanel.count
      let steps = targets + Int(CF_COLUMNS)
      let firstScales = steps + 3 * trials
      let first = firstScales + 2 * ScalarPanel.sizes.subBlocks
      return body(
        ScalarScratch(
          best: ScalarPanel(base), trial: ScalarPanel(base + ScalarPanel.count), targets: targets, steps: steps,
          offsets: steps + trials, costs: steps + 2 * trials, firstScales: firstScales, first: first,
          second: first + FeedbackMetric.panelColumns))
    }
  }
}
