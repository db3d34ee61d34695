import GGUF
import Perplexity
import Tensors

/// A round that refines the groups' coefficients around the incumbent.
///
/// First come probes: for every group of tensors that share a coefficient, the drift of the incumbent with that group one
/// type lower. They run side by side: a probe starts at its group's first layer, and all share one reading of the weights.
/// A ``MixSurrogate`` is fitted to them. The round then measures the exact allocations for its coefficients, and for
/// samples around them.
struct CoefficientRound {
  /// Windows for probes: a subset of those for candidates.
  let windows: ScoringWindows

  func run(_ state: inout SearchState) throws -> RoundEnd {
    let before = state.incumbent.level
    guard try probe(&state) else { return .outOfTime }
    let field = try candidates(&state)
    guard !field.isEmpty else { return .settled }
    try state.judge(field, gain: state.policy.candidateGain) { $0.add($1) }
    return state.incumbent.level > before * state.policy.lastCoefficientRound ? .settled : .goOn
  }

  /// Measures the incumbent's neighbour in every group for the surrogate; false if time ran out.
  private func probe(_ state: inout SearchState) throws -> Bool {
    let (space, policy, incumbent) = (state.space, state.policy, state.incumbent)
    let around = (0..<space.groupCount).compactMap { group in
      // One type higher if there is no lower one.
      space.stepped(incumbent.types, group: group, .down, minimum: policy.minimumStep)
        ?? space.stepped(incumbent.types, group: group, .up, minimum: policy.minimumStep)
    }
    // Probes on fewer windows need the incumbent's drift on the same windows.
    var base = windows.windows.count < state.screen.windows.count ? nil : incumbent.drift
    for start in stride(from: 0, to: around.count, by: policy.batch) {
      guard start == 0 || !state.isLate(0) else { return false }
      let mixes = Array(around[start..<min(around.count, start + policy.batch)])
      var drifts = try state.measure(mixes, beside: base == nil ? [incumbent.types] : [], windows: windows)
      let shown = base ?? drifts.removeFirst()
      base = shown
      for (mix, drift) in zip(mixes, drifts) {
        state.surrogate.add(state.trial(mix, drift, against: shown, level: incumbent.level))
      }
    }
    return true
  }

  /// New allocations for the fitted coefficients and for samples around them.
  private func candidates(_ state: inout SearchState) throws -> [[GGMLType]] {
    let fit = state.fit
    var weights = state.policy.shares.map { fit.weights(share: $0) }
    for _ in 0..<state.policy.samples {
      weights.append(fit.sample(temperature: state.policy.temperature) { state.random.normal() })
    }
    var field: [[GGMLType]] = []
    for weight in weights {
      guard let types = try state.space.allocate(state.space.groups.map { weight[$0] }),
        state.seen.insert(types).inserted
      else { continue }
      field.append(types)
    }
    return field
  }
}
