import Foundation
import GGUF
import Perplexity
import Quantize
import Tensors

/// Looks for a better mix than the allocation's by measuring: errors add up at many bits, and at few they don't.
///
/// A round begins with probes around the incumbent: for every group of tensors that share a coefficient, the drift of the
/// incumbent with that group one type lower. They run side by side and layer-major, so that a probe costs the layers from
/// its own on and all share the readings of weights. What they say about the coefficients where the mix really is goes
/// into a ``MixSurrogate``; the exact allocations for its coefficients, and for samples around them, are measured, and
/// say more. Every candidate fits the target, and the best one that is measured better becomes the incumbent.
///
/// Where that ends, exchanges go on: the drift of every single step from the incumbent is measured, one type up and one
/// down for every group, and the sets of steps that ``MixSteps`` predicts most of are measured in turn. The best of many
/// measurements looks better than it is: so steps are measured on text of their own, other parts of it in every round,
/// what earlier rounds found counts too, all is drawn towards what the surrogate expects by as much as it is unsure, and
/// the sets are judged on the validation text.
///
/// Nothing depends on the clock until `budget` is spent, and nothing on the machine.
public struct MixSearch {
  public struct Result: Sendable {
    public let types: [GGMLType]
    /// Mean divergence on the whole validation text, before and after.
    public let initial: Double
    public let final: Double
    public let trials: Int
    public let rounds: Int
    /// True where time ended the search: another run may find something else.
    public let isCutShort: Bool
  }

  public let trials: MixTrials
  public let windows: ScoringWindows
  /// What single steps are measured on: text that is not in `windows`, if there is any.
  public let stepWindows: ScoringWindows
  /// What every tensor may become, at the table's costs, in the source's order.
  public let choices: [[AllocationOption]]
  /// The group of every tensor.
  public let groups: [Int]
  /// The allocation for costs multiplied by factors, in the source's order; nil where nothing fits.
  public let allocate: ([Double]) throws -> [GGMLType]?
  /// The bytes that a file of these types leaves of the target; negative where it exceeds it.
  public let spare: ([GGMLType]) throws -> Int
  public var seed: UInt64 = 1
  /// Candidates of a round from samples, beside those from the fitted coefficients themselves.
  public var samples = 3
  /// Rounds at most, and rounds of exchanges; a round without a gain is the last of its kind.
  public var roundLimit = 6
  public var exchangeLimit = 6
  /// Seconds to search; a round that was begun is finished, unless its probes are of very many groups. nil for no limit.
  public var budget: Double?
  /// Tokens that probes and candidates are measured on at most, and passes over them that a round's probes may take:
  /// probes of many groups see less text.
  public var tokenLimit = 16_384
  public var passLimit = 24.0

  /// - Parameter groups: by tensor, which share a coefficient; any numbers.
  public init(
    trials: MixTrials, windows: ScoringWindows, stepWindows: ScoringWindows, choices: [[AllocationOption]],
    groups: [Int],
    allocate: @escaping ([Double]) throws -> [GGMLType]?, spare: @escaping ([GGMLType]) throws -> Int
  ) {
    self.trials = trials
    self.windows = windows
    self.stepWindows = stepWindows
    self.choices = choices
    // Numbered from 0, in order of appearance.
    var numbers: [Int: Int] = [:]
    self.groups = groups.map { group in
      let number = numbers[group] ?? numbers.count
      numbers[group] = number
      return number
    }
    self.allocate = allocate
    self.spare = spare
  }

  private var groupCount: Int { (groups.max() ?? -1) + 1 }

  public func run(from initial: [GGMLType], progress: (Int, Double) throws -> Void = { _, _ in }) throws -> Result {
    let start = ContinuousClock.now
    func isLate() -> Bool { budget.map { Double((ContinuousClock.now - start) / .seconds(1)) >= $0 } ?? false }
    var random = SplitMix(seed: seed)
    var surrogate = MixSurrogate()
    let screen = spread(tokenLimit / max(1, windows.context), of: windows)
    let probed = spread(Int(Double(screen.windows.count) * min(1, passLimit / probePasses)), of: screen)
    var seen: Set<[GGMLType]> = [initial]
    var count = 1
    var rounds = 0
    var cut = false

    var incumbent = Measured(types: initial, drift: try trials.drifts(of: [initial], windows: screen)[0], level: 1)
    let first = incumbent
    surrogate.add(MixSurrogate.Trial(costs: costs(initial), level: 1, error: 0))
    while rounds < roundLimit {
      cut = isLate()
      guard !cut else { break }
      rounds += 1
      let before = incumbent.level
      let around = neighbours(of: incumbent.types)
      // On less text than candidates are measured on, they need the incumbent's drift there.
      let own = probed.windows.count < screen.windows.count ? [incumbent.types] : []
      var shown = incumbent.drift
      for part in stride(from: 0, to: around.count, by: Self.batch) {
        if part > 0, isLate() { cut = true }
        guard !cut else { break }
        let mixes = Array(around[part..<min(around.count, part + Self.batch)])
        var drifts = try trials.drifts(of: (part == 0 ? own : []) + mixes, windows: probed) { _, _ in
          try progress(rounds, incumbent.drift.mean)
        }
        if part == 0, !own.isEmpty { shown = drifts.removeFirst() }
        for (mix, drift) in zip(mixes, drifts) { surrogate.add(trial(mix, drift, shown, level: incumbent.level)) }
        count += mixes.count
      }
      guard !cut else { break }
      let fit = surrogate.fit(costs: costs(incumbent.types), level: incumbent.level, drift: incumbent.drift.mean)
      // Prior and noise hold the fitted weights back: a step beyond them is tried too.
      var weights = [fit.weights(), fit.weights(share: 1.5)]
      for _ in 0..<samples { weights.append(fit.sample(temperature: 0.3) { random.normal() }) }
      var field: [[GGMLType]] = []
      for weight in weights {
        guard let types = try allocate(groups.map { weight[$0] }), seen.insert(types).inserted else { continue }
        field.append(types)
      }
      guard !field.isEmpty else { break }
      let drifts = try trials.drifts(of: field, windows: screen) { _, _ in try progress(rounds, incumbent.drift.mean) }
      count += field.count
      let base = incumbent
      for (types, drift) in zip(field, drifts) {
        let trial = trial(types, drift, base.drift, level: base.level)
        surrogate.add(trial)
        // Less than a fifth of a percent is noise of the text.
        if trial.level < incumbent.level * 0.998 {
          incumbent = Measured(types: types, drift: drift, level: trial.level)
        }
      }
      try progress(rounds, incumbent.drift.mean)
      // Another round costs as much as this one, and gains less.
      if incumbent.level > before * 0.99 { break }
    }
    var exchanges = 0
    var failures = 0
    var known: [StepKey: Estimate] = [:]
    // Another part of the text may show what the last one hid: the second round without a gain is the last.
    while exchanges < exchangeLimit, failures < 2, !cut {
      cut = isLate()
      guard !cut else { break }
      exchanges += 1
      rounds += 1
      let before = incumbent.level
      let expected = surrogate.fit(
        costs: costs(incumbent.types), level: incumbent.level, drift: incumbent.drift.mean
      ).mean
      guard
        let steps = try measuredSteps(
          from: incumbent, expected: expected, windows: portion(exchanges - 1, count: probed.windows.count), &known,
          isLate: isLate, &count, progress: { try progress(rounds, incumbent.drift.mean) })
      else {
        cut = true
        break
      }
      let field = try sets(of: steps, around: incumbent).filter { seen.insert($0).inserted }
      if !field.isEmpty {
        let drifts = try trials.drifts(of: field, windows: screen) { _, _ in
          try progress(rounds, incumbent.drift.mean)
        }
        count += field.count
        let base = incumbent
        for (types, drift) in zip(field, drifts) {
          let level = base.level * drift.mean / max(base.drift.mean, 1e-12)
          if level < incumbent.level * 0.999 { incumbent = Measured(types: types, drift: drift, level: level) }
        }
        try progress(rounds, incumbent.drift.mean)
        // What was measured around another mix is less sure.
        if incumbent.types != base.types {
          known = known.mapValues { Estimate(value: $0.value, error: 1.5 * $0.error) }
        }
      }
      failures = incumbent.level > before * 0.997 ? failures + 1 : 0
    }
    guard screen.windows.count < windows.windows.count, incumbent.types != initial else {
      return Result(
        types: incumbent.types, initial: first.drift.mean, final: incumbent.drift.mean, trials: count, rounds: rounds,
        isCutShort: cut)
    }
    let whole = try trials.drifts(of: [initial, incumbent.types], windows: windows)
    let best = whole[1].mean < whole[0].mean ? incumbent.types : initial
    return Result(
      types: best, initial: whole[0].mean, final: min(whole[0].mean, whole[1].mean), trials: count, rounds: rounds,
      isCutShort: cut)
  }

  private struct Measured {
    let types: [GGMLType]
    let drift: Drift
    let level: Double
  }

  /// What a step changes: the types of a group's tensors.
  private struct StepKey: Hashable {
    let group: Int
    let from: [GGMLType]
    let to: [GGMLType]
  }

  /// A step and the mix that it leads to.
  private struct Stepped {
    let step: MixSteps.Step
    let types: [GGMLType]
  }

  /// Every single step from the incumbent, measured; nil where time ended it.
  ///
  /// - Parameters:
  ///   - expected: the surrogate's weights of the groups.
  ///   - known: what steps change, in parts of the incumbent's drift.
  private func measuredSteps(
    from incumbent: Measured, expected: [Double], windows: ScoringWindows, _ known: inout [StepKey: Estimate],
    isLate: () -> Bool, _ count: inout Int, progress: () throws -> Void
  ) throws -> [Stepped]? {
    var around: [(group: Int, types: [GGMLType])] = []
    for group in 0..<groupCount {
      let places = groups.indices.filter { groups[$0] == group && choices[$0].count > 1 }
      for direction in [Direction.down, .up] {
        var types = incumbent.types
        for place in places { types[place] = step(choices[place], from: types[place], direction) }
        if types != incumbent.types, !around.contains(where: { $0.types == types }) { around.append((group, types)) }
      }
    }
    let (ownBytes, ownCosts) = (bytes(incumbent.types), costs(incumbent.types))
    let drift = incumbent.drift.mean
    var base: Drift?
    var result: [Stepped] = []
    for start in stride(from: 0, to: around.count, by: Self.batch) {
      guard start == 0 || !isLate() else { return nil }
      let part = around[start..<min(around.count, start + Self.batch)]
      let own = base == nil ? [incumbent.types] : []
      var drifts = try trials.drifts(of: own + part.map(\.types), windows: windows) { _, _ in try progress() }
      let here = base ?? drifts.removeFirst()
      base = here
      count += part.count
      for (mix, measured) in zip(part, drifts) {
        let places = groups.indices.filter { groups[$0] == mix.group }
        let key = StepKey(
          group: mix.group, from: places.map { incumbent.types[$0] }, to: places.map { mix.types[$0] })
        let difference = Estimate(meanOf: zip(measured.divergences, here.divergences).map { $0 - $1 })
        let relative = Estimate(
          value: difference.value / max(here.mean, 1e-12), error: difference.error / max(here.mean, 1e-12))
        let whole = known[key].map { Self.joined($0, relative) } ?? relative
        known[key] = whole
        let prior = expected[mix.group] * (costs(mix.types)[mix.group] - ownCosts[mix.group])
        let change = Self.joined(
          Estimate(value: drift * whole.value, error: drift * whole.error),
          Estimate(value: prior, error: abs(prior) + 0.003 * drift))
        let step = MixSteps.Step(
          group: mix.group, bytes: bytes(mix.types) - ownBytes, change: change.value,
          // Text differs in how far the incumbent drifts on it.
          losses: zip(measured.losses, here.losses).map { ($0 - $1) * (drift / max(here.mean, 1e-12)).squareRoot() })
        result.append(Stepped(step: step, types: mix.types))
      }
    }
    return result
  }

  /// Two estimates of one number, each counted by its error.
  private static func joined(_ one: Estimate, _ other: Estimate) -> Estimate {
    let (first, second) = (one.error * one.error, other.error * other.error)
    guard first + second > 0 else { return one }
    return Estimate(
      value: (one.value * second + other.value * first) / (first + second),
      error: (first * second / (first + second)).squareRoot())
  }

  /// Every so manieth window of the text for steps, beginning with another in every round.
  private func portion(_ round: Int, count: Int) -> ScoringWindows {
    let total = stepWindows.windows.count
    guard count < total else { return stepWindows }
    let parts = total / count
    return ScoringWindows(
      joining: (0..<count).map { $0 * parts + round % parts }.map { stepWindows[$0..<$0 + 1] })
  }

  /// Mixes by the sets of steps that are predicted to gain most, from all that gain to the few surest, within the target.
  private func sets(of steps: [Stepped], around incumbent: Measured) throws -> [[GGMLType]] {
    let model = MixSteps(steps.map(\.step))
    let left = try spare(incumbent.types)
    var result: [[GGMLType]] = []
    for share in [0, 0.0005, 0.0015, 0.003, 0.006] {
      var room = left
      // What the recipe in the metadata takes depends on the types.
      for _ in 0..<4 {
        var types = incumbent.types
        for index in model.best(spare: room, penalty: share * incumbent.drift.mean) {
          for (place, type) in steps[index].types.enumerated() where type != incumbent.types[place] {
            types[place] = type
          }
        }
        let missing = try -spare(types)
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

  private func bytes(_ types: [GGMLType]) -> Int {
    types.enumerated().reduce(0) { sum, one in
      sum + (choices[one.offset].first { $0.type == one.element }?.bytes ?? 0)
    }
  }

  /// Mixes that run side by side.
  private static let batch = 64

  /// The table's cost of every group under a mix.
  private func costs(_ types: [GGMLType]) -> [Double] {
    var result = [Double](repeating: 0, count: groupCount)
    for (index, type) in types.enumerated() {
      result[groups[index]] += choices[index].first { $0.type == type }?.cost ?? 0
    }
    return result
  }

  private func trial(_ types: [GGMLType], _ drift: Drift, _ base: Drift, level: Double) -> MixSurrogate.Trial {
    let ratio = drift.mean / max(base.mean, 1e-12)
    let difference = Estimate(meanOf: zip(drift.divergences, base.divergences).map { $0 - $1 })
    return MixSurrogate.Trial(
      costs: costs(types), level: level * ratio, error: level * difference.error / max(base.mean, 1e-12))
  }

  /// Passes over the text that probes of all groups take: from each one's first layer on.
  private var probePasses: Double {
    let tensors = trials.source.tensors
    let layers = Double((tensors.compactMap(\.layer).max() ?? 0) + 1)
    var first = [Double](repeating: layers, count: groupCount)
    for (index, tensor) in tensors.enumerated() where choices[index].count > 1 {
      let layer = tensor.layer.map(Double.init) ?? (tensor.role == .tokenEmbedding ? 0 : layers)
      first[groups[index]] = min(first[groups[index]], layer)
    }
    return max(1, first.reduce(0) { $0 + (layers - $1) / layers })
  }

  /// The mix with each group's tensors one type lower; higher where there is none.
  private func neighbours(of types: [GGMLType]) -> [[GGMLType]] {
    (0..<groupCount).compactMap { group in
      let places = groups.indices.filter { groups[$0] == group && choices[$0].count > 1 }
      var lower = types
      for place in places { lower[place] = step(choices[place], from: types[place], .down) }
      guard lower == types else { return lower }
      for place in places { lower[place] = step(choices[place], from: types[place], .up) }
      return lower == types ? nil : lower
    }
  }

  private enum Direction { case down, up }

  /// Down, the neighbour that costs least for the bytes it frees; up, the next larger one that gains anything. Steps of
  /// less than 7 % of the bytes say little.
  private func step(_ options: [AllocationOption], from type: GGMLType, _ direction: Direction) -> GGMLType {
    guard let now = options.first(where: { $0.type == type }) else { return type }
    let bytes = Double(now.bytes)
    switch direction {
    case .down:
      let smaller = options.filter { Double($0.bytes) < 0.93 * bytes && $0.cost > now.cost }
      func price(_ option: AllocationOption) -> Double { (option.cost - now.cost) / Double(now.bytes - option.bytes) }
      return smaller.min { (price($0), $0.bytes) < (price($1), $1.bytes) }?.type ?? type
    case .up:
      let larger = options.filter { Double($0.bytes) > 1.07 * bytes && $0.cost < now.cost }
      return larger.min { ($0.bytes, $0.cost) < ($1.bytes, $1.cost) }?.type ?? type
    }
  }

  /// Windows spread evenly over the text, so that little text has all kinds too.
  private func spread(_ count: Int, of windows: ScoringWindows) -> ScoringWindows {
    let total = windows.windows.count
    let count = max(1, count)
    guard count < total else { return windows }
    return ScoringWindows(joining: (0..<count).map { windows[$0 * total / count..<$0 * total / count + 1] })
  }
}

extension SplitMix {
  fileprivate mutating func normal() -> Double {
    let u = Double((next() >> 11) + 1) * 0x1p-53
    return (-2 * log(u)).squareRoot() * cos(2 * .pi * fraction())
  }
}
