import CBlocks
import Tensors

/// The scales of a sub-block that are tried.
enum ScaleSearch {
  /// The given one.
  case none
  /// Its neighbours: during descent.
  case near
  /// All within a tenth of the given one, or more.
  case wide
}

// Candidates are rounded five at a time, so that their chains of sums run side by side. Ranges were chosen by eᵀHe after
// descent over matrices of a trained model: twice as many candidates gain less than half a percent.

extension ScalarFeedback {
  /// Sets the trial's scale and min of sub-block `s` to the best near `scale` and `offset`, which are real numbers, for
  /// `scratch.targets`.
  func choose(
    _ table: SubBlockTable, _ s: Int, scale: Lane, offset: Lane, _ search: ScaleSearch, _ scratch: ScalarScratch
  ) {
    if shape.scales == nil {
      chooseHalves(table, s, scale: scale, offset: offset, search, scratch)
    } else if shape.isAffine {
      chooseScaleAndMin(table, s, scale: scale, offset: offset, search, scratch)
    } else {
      chooseScale(table, s, scale: scale, search, scratch)
    }
  }

  /// Integer scales from seven below the nearest to seven above it, or two.
  private func chooseScale(
    _ table: SubBlockTable, _ s: Int, scale: Lane, _ search: ScaleSearch, _ scratch: ScalarScratch
  ) {
    let d = scratch.trial.steps[0]
    let middle = integerScale(scale * d.reciprocal)
    (scratch.trial.scales[s], scratch.trial.mins[s]) = (middle, cv_splat(0))
    var lowest = cv_splat(.infinity)
    // -2 to 2 when near; then -7 to -3, and 3 to 7.
    for batch in 0..<(search == .none ? 0 : search == .near ? 1 : 3) {
      let first: Float = [-2, -7, 3][batch]
      evaluate(table, s, &lowest, scratch) { k in
        let candidate = integerScale(middle + cv_splat(first + Float(k)))
        return Candidate(scale: candidate, min: cv_splat(0), step: candidate * d, offset: cv_splat(0))
      }
    }
  }

  /// Pairs of integers: scales up to three (or one) from the nearest, each with the five mins around the one that keeps the
  /// middle of the range.
  private func chooseScaleAndMin(
    _ table: SubBlockTable, _ s: Int, scale: Lane, offset: Lane, _ search: ScaleSearch, _ scratch: ScalarScratch
  ) {
    let (d, dmin) = (scratch.trial.steps[0], scratch.trial.steps[1])
    let inverseMin = dmin.reciprocal
    let middle = integerScale(scale * d.reciprocal)
    func min(_ candidate: Lane) -> Lane {
      let moved = cv_fma((candidate - middle) * d, cv_splat(shape.levels.high / 2), offset)
      return integerMin(moved * inverseMin)
    }
    (scratch.trial.scales[s], scratch.trial.mins[s]) = (middle, min(middle))
    guard search != .none else { return }
    let radius = search == .wide ? 3 : 1
    var lowest = cv_splat(.infinity)
    for move in -radius...radius {
      let candidate = integerScale(middle + cv_splat(Float(move)))
      let center = min(candidate)
      evaluate(table, s, &lowest, scratch) { k in
        let min = integerMin(center + cv_splat(Float(k - 2)))
        return Candidate(scale: candidate, min: min, step: candidate * d, offset: min * dmin)
      }
    }
  }

  /// Steps of a block of 32 by factors of the first, and offsets up to two fifths of a step from the one that keeps the
  /// middle of the range.
  private func chooseHalves(
    _ table: SubBlockTable, _ s: Int, scale: Lane, offset: Lane, _ search: ScaleSearch, _ scratch: ScalarScratch
  ) {
    (scratch.trial.scales[s], scratch.trial.mins[s]) = (scale, offset)
    var lowest = cv_splat(.infinity)
    let batches = search == .none ? 0 : shape.isAffine ? (search == .wide ? 10 : 5) : (search == .wide ? 4 : 2)
    for batch in 0..<batches {
      evaluate(table, s, &lowest, scratch) { k in
        let factor = stepFactors[shape.isAffine ? batch : batch * ScalarScratch.trials + k]
        let step = shape.stored(scale * cv_splat(factor))
        guard shape.isAffine else { return Candidate(scale: step, min: cv_splat(0), step: step, offset: cv_splat(0)) }
        let moved = cv_fma(step - scale, cv_splat(shape.levels.high / 2), offset)
        let offset = shape.stored(cv_fma(step, cv_splat(0.2 * Float(k - 2)), moved))
        return Candidate(scale: step, min: offset, step: step, offset: offset)
      }
    }
  }

  @inline(__always) private func integerScale(_ value: Lane) -> Lane {
    cv_clamp(cv_round(value), cv_splat(shape.scales!.lowerBound), cv_splat(shape.scales!.upperBound))
  }

  @inline(__always) private func integerMin(_ value: Lane) -> Lane {
    cv_clamp(cv_round(value), cv_splat(0), cv_splat(shape.largestMin))
  }

  /// Rounds the sub-block with five candidates, and keeps the best so far.
  @inline(__always) private func evaluate(
    _ table: SubBlockTable, _ s: Int, _ lowest: inout Lane, _ scratch: ScalarScratch, _ candidate: (Int) -> Candidate
  ) {
    for k in 0..<ScalarScratch.trials {
      let candidate = candidate(k)
      (scratch.steps[k], scratch.offsets[k]) = (candidate.step, candidate.offset)
      (scratch.first[k], scratch.second[k]) = (candidate.scale, candidate.min)
    }
    cf_trials(
      scratch.targets, table.factor, table.pivots, shape.length, shape.levels, scratch.steps, scratch.offsets,
      scratch.costs)
    let trial = scratch.trial
    for k in 0..<ScalarScratch.trials {
      let cost = scratch.costs[k]
      trial.scales[s] = cv_where_less(cost, lowest, scratch.first[k], trial.scales[s])
      trial.mins[s] = cv_where_less(cost, lowest, scratch.second[k], trial.mins[s])
      lowest = cv_where_less(cost, lowest, cost, lowest)
    }
  }
}

private struct Candidate {
  let scale: Lane
  let min: Lane
  let step: Lane
  let offset: Lane
}

/// Factors of a block's first step. A shorter search tries the first of them.
private let stepFactors: InlineArray<20, Float> = [
  1, 0.98, 1.02, 0.96, 1.04, 0.94, 0.92, 0.9, 0.87, 0.84, 0.99, 1.01, 0.97, 1.03, 0.95, 0.93, 0.91, 1.06, 0.885, 1.09,
]
