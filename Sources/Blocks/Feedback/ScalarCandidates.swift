import CBlocks
import Tensors

extension ScalarFeedback {
  /// Sets the trial's scale and min of sub-block `s`: the best of some near `scale` and `offset`, which are real numbers,
  /// for `scratch.targets`.
  ///
  /// - Parameter radius: how many integers on either side are tried; 0: the nearest alone.
  func choose(
    _ table: SubBlockTable, _ s: Int, scale: Lane, offset: Lane, radius: Int, _ scratch: ScalarScratch
  ) {
    let trial = scratch.trial
    if let range = shape.scales {
      let (low, high, top) = (cv_splat(range.lowerBound), cv_splat(range.upperBound), cv_splat(shape.largestMin))
      let (d, dmin) = (trial.steps[0], trial.steps[1])
      let (inverse, inverseMin) = (d.reciprocal, dmin.reciprocal)
      let middle = cv_clamp(cv_round(scale * inverse), low, high)
      func min(_ scale: Lane) -> Lane {
        // The middle of the range is kept.
        let moved = cv_fma(scale * d - middle * d, cv_splat(shape.levels.high / 2), offset)
        return cv_clamp(cv_round(moved * inverseMin), cv_splat(0), top)
      }
      (trial.scales[s], trial.mins[s]) = (middle, shape.isAffine ? min(middle) : cv_splat(0))
      guard radius > 0 else { return }
      var lowest = cv_splat(.infinity)
      if shape.isAffine {
        for move in -radius...radius {
          let candidate = cv_clamp(middle + cv_splat(Float(move)), low, high)
          let center = min(candidate)
          for k in 0..<ScalarScratch.trials {
            scratch.steps[k] = candidate * d
            scratch.offsets[k] = cv_clamp(center + cv_splat(Float(k - 2)), cv_splat(0), top) * dmin
          }
          evaluate(table, scratch)
          for k in 0..<ScalarScratch.trials {
            let cost = scratch.costs[k]
            trial.scales[s] = cv_where_less(cost, lowest, candidate, trial.scales[s])
            trial.mins[s] = cv_where_less(
              cost, lowest, cv_clamp(center + cv_splat(Float(k - 2)), cv_splat(0), top), trial.mins[s])
            lowest = cv_where_less(cost, lowest, cost, lowest)
          }
        }
      } else {
        for k in 0..<ScalarScratch.trials {
          scratch.steps[k] = cv_clamp(middle + cv_splat(Float(k - 2)), low, high) * d
          scratch.offsets[k] = cv_splat(0)
        }
        evaluate(table, scratch)
        for k in 0..<ScalarScratch.trials {
          let cost = scratch.costs[k]
          trial.scales[s] = cv_where_less(
            cost, lowest, cv_clamp(middle + cv_splat(Float(k - 2)), low, high), trial.scales[s])
          lowest = cv_where_less(cost, lowest, cost, lowest)
        }
      }
      return
    }
    (trial.scales[s], trial.mins[s]) = (scale, offset)
    guard radius > 0 else { return }
    var lowest = cv_splat(.infinity)
    for row in 0..<(shape.isAffine ? blockFactors.count : blockFactors.count / ScalarScratch.trials) {
      for k in 0..<ScalarScratch.trials {
        if shape.isAffine {
          let step = cf_half(scale * cv_splat(blockFactors[row]))
          let moved = cv_fma(step - scale, cv_splat(shape.levels.high / 2), offset)
          scratch.steps[k] = step
          scratch.offsets[k] = cf_half(cv_fma(step, cv_splat(0.2 * Float(k - 2)), moved))
        } else {
          scratch.steps[k] = cf_half(scale * cv_splat(blockFactors[row * ScalarScratch.trials + k]))
          scratch.offsets[k] = cv_splat(0)
        }
      }
      evaluate(table, scratch)
      for k in 0..<ScalarScratch.trials {
        let cost = scratch.costs[k]
        trial.scales[s] = cv_where_less(cost, lowest, scratch.steps[k], trial.scales[s])
        trial.mins[s] = cv_where_less(cost, lowest, scratch.offsets[k], trial.mins[s])
        lowest = cv_where_less(cost, lowest, cost, lowest)
      }
    }
  }

  private func evaluate(_ table: SubBlockTable, _ scratch: ScalarScratch) {
    cf_trials(
      scratch.targets, table.factor, table.pivots, shape.length, shape.levels, scratch.steps, scratch.offsets,
      scratch.costs)
  }
}

/// Factors of a block's first step.
private let blockFactors: InlineArray<10, Float> = [1, 0.98, 1.02, 0.96, 1.04, 0.93, 1.07, 0.9, 0.87, 0.84]
