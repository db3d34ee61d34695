import GGUF
import Perplexity
import Tensors

/// Rounds that exchange single steps. A round measures every step from the incumbent, one type up and one down for every
/// group, and then the sets of steps for which ``MixSteps`` predicts the largest gain.
///
/// The best of many measurements looks better than it is. So steps are measured on separate text, another part of it in
/// every round; measurements of earlier rounds are averaged in; the result is shrunk towards the surrogate's expectation
/// according to its error; and the sets are judged on the text for candidates.
struct ExchangeRound {
  /// Windows for steps, and the number of them per round.
  let probes: ScoringWindows
  let count: Int
  /// Change of drift by step, relative to the incumbent's drift.
  private var measured: [StepKey: Estimate] = [:]

  init(probes: ScoringWindows, count: Int) {
    self.probes = probes
    self.count = count
  }

  /// The types of a group's tensors before and after a step.
  private struct StepKey: Hashable {
    let group: Int
    let from: [GGMLType]
    let to: [GGMLType]
  }

  /// A step and the resulting mix.
  private struct Stepped {
    let step: MixSteps.Step
    let types: [GGMLType]
  }

  mutating func run(_ state: inout SearchState, number: Int) throws -> RoundEnd {
    let (policy, base) = (state.policy, state.incumbent)
    guard let steps = try steps(&state, windows: probes.portion(number, count: count)) else { return .outOfTime }
    let field = try sets(of: steps, state).filter { state.seen.insert($0).inserted }
    if !field.isEmpty {
      try state.judge(field, gain: policy.exchangeGain) { _, _ in }
      if state.incumbent.types != base.types {
        measured = measured.mapValues { Estimate(value: $0.value, error: policy.ageing * $0.error) }
      }
    }
    return state.incumbent.level > base.level * policy.lastExchangeRound ? .settled : .goOn
  }

  /// Measures every single step from the incumbent; nil if time ran out.
  private mutating func steps(_ state: inout SearchState, windows: ScoringWindows) throws -> [Stepped]? {
    let (space, policy, incumbent) = (state.space, state.policy, state.incumbent)
    let expected = state.fit.mean
    var around: [(group: Int, types: [GGMLType])] = []
    for group in 0..<space.groupCount {
      for direction in [SearchSpace.Direction.down, .up] {
        guard let types = space.stepped(incumbent.types, group: group, direction, minimum: policy.minimumStep),
          !around.contains(where: { $0.types == types })
        else { continue }
        around.append((group, types))
      }
    }
    let (bytes, costs) = (space.bytes(incumbent.types), space.costs(incumbent.types))
    var base: Drift?
    var result: [Stepped] = []
    for start in stride(from: 0, to: around.count, by: policy.batch) {
      guard start == 0 || !state.isLate(0) else { return nil }
      let part = around[start..<min(around.count, start + policy.batch)]
      var drifts = try state.measure(
        part.map(\.types), beside: base == nil ? [incumbent.types] : [], windows: windows)
      let shown = base ?? drifts.removeFirst()
      base = shown
      let balance = WindowBalance(shown.divergences, rows: windows.scored.count)
      for (mix, drift) in zip(part, drifts) {
        let prior = expected[mix.group] * (space.costs(mix.types)[mix.group] - costs[mix.group])
        let change = change(of: mix, state, drift, against: shown, prior: prior)
        // The incumbent's drift differs between texts.
        let scale = (incumbent.drift.mean / max(shown.mean, 1e-12)).squareRoot()
        let step = MixSteps.Step(
          group: mix.group, bytes: space.bytes(mix.types) - bytes, change: change,
          losses: balance.weighted(zip(drift.losses, shown.losses).map { ($0 - $1) * scale }, asFactors: true))
        result.append(Stepped(step: step, types: mix.types))
      }
    }
    return result
  }

  /// Change of the incumbent's drift by a step in nats: all measurements of it, shrunk towards the expectation.
  private mutating func change(
    of mix: (group: Int, types: [GGMLType]), _ state: SearchState, _ drift: Drift, against base: Drift, prior: Double
  ) -> Double {
    let indices = state.space.groups.indices.filter { state.space.groups[$0] == mix.group }
    let key = StepKey(
      group: mix.group, from: indices.map { state.incumbent.types[$0] }, to: indices.map { mix.types[$0] })
    let relative = Estimate(
      meanOf: WindowBalance.changes(to: drift, from: base, rows: probes.scored.count))
    let all = measured[key].map { $0.joined(with: relative) } ?? relative
    measured[key] = all
    let mean = state.incumbent.drift.mean
    return Estimate(value: mean * all.value, error: mean * all.error).joined(
      with: Estimate(value: prior, error: abs(prior) + state.policy.expectationError * mean)
    ).value
  }

  /// Mixes within the target by the sets of steps with the largest predicted gain, from all that gain to the few surest.
  private func sets(of steps: [Stepped], _ state: SearchState) throws -> [[GGMLType]] {
    let incumbent = state.incumbent
    let model = MixSteps(steps.map(\.step), policy: state.policy.steps)
    let left = try state.space.spare(incumbent.types)
    var result: [[GGMLType]] = []
    for share in state.policy.penalties {
      var room = left
      for _ in 0..<state.policy.fittings {
        var types = incumbent.types
        for index in model.best(spare: room, penalty: share * incumbent.drift.mean) {
          for (tensor, type) in steps[index].types.enumerated() where type != incumbent.types[tensor] {
            types[tensor] = type
          }
        }
        // The length of the recipe in the header depends on the types.
        let missing = try -state.space.spare(types)
        guard missing <= 0 else {
          room -= missing
          continue
        }
        if types != incumbent.types, !result.contains(types) { result.append(types) }
        break
      }
    }
    return result
  }
}

extension Estimate {
  /// The mean of two independent estimates of one number, weighted by their inverse variances.
  func joined(with other: Estimate) -> Estimate {
    let (first, second) = (error * error, other.error * other.error)
    guard first + second > 0 else { return self }
    return Estimate(
      value: (value * second + other.value * first) / (first + second),
      error: (first * second / (first + second)).squareRoot())
  }
}
