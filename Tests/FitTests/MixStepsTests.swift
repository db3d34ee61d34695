import Fit
import Testing

@Suite struct MixStepsTests {
  /// Fixed pseudo-random numbers.
  private struct Numbers {
    var state: UInt64
    mutating func next() -> Double {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(state >> 40) / Double(1 << 24) - 0.5
    }
  }

  /// Three steps for each of `groups` groups: smaller, larger and of equal size. Their changes of the loss are correlated.
  private func steps(_ groups: Int, seed: UInt64) -> [MixSteps.Step] {
    var numbers = Numbers(state: seed)
    let common = (0..<400).map { _ in numbers.next() }
    return (0..<groups).flatMap { group in
      (0..<3).map { kind in
        let part = 0.3 * numbers.next()
        return MixSteps.Step(
          group: group, bytes: [-1, 1, 0][kind] * (group % 3 + 1) * 100,
          change: [0.02, -0.02, 0.005][kind] * (1 + numbers.next()),
          losses: common.map { part * $0 + 0.2 * numbers.next() })
      }
    }
  }

  /// The result equals that of trying every set.
  @Test(arguments: [1, 2, 3, 4, 5, 6]) func exchangesComeCloseToTheBestSet(seed: Int) throws {
    let model = MixSteps(steps(6, seed: UInt64(seed)))
    var minimum = 0.0
    for number in 0..<4096 {
      let set = (0..<6).compactMap { group in
        number >> (2 * group) & 3 == 3 ? nil : 3 * group + number >> (2 * group) & 3
      }
      guard set.reduce(0, { $0 + model.steps[$1].bytes }) <= 150 else { continue }
      minimum = min(minimum, model.change(of: set))
    }
    let found = model.best(spare: 150, penalty: 0)
    #expect(found.reduce(0) { $0 + model.steps[$1].bytes } <= 150)
    #expect(Set(found.map { model.steps[$0].group }).count == found.count)
    #expect(minimum < 0 && model.change(of: found) <= 0.97 * minimum, "\(model.change(of: found)) and \(minimum)")
    // Steps that gain less than the penalty are not taken.
    #expect(model.best(spare: 150, penalty: 1).isEmpty)
    #expect(model.best(spare: 150, penalty: 0.004).count <= found.count)
  }

  /// Two steps with equal changes of the losses cost more than their sum; opposite steps cost less; insignificant
  /// correlation counts as zero.
  @Test func stepsThatMoveTheSameAreSeen() {
    var numbers = Numbers(state: 9)
    let moved = (0..<1000).map { _ in numbers.next() }
    func step(_ group: Int, _ losses: [Double]) -> MixSteps.Step {
      MixSteps.Step(group: group, bytes: 0, change: -0.01, losses: losses)
    }
    let other = (0..<1000).map { _ in numbers.next() }
    let model = MixSteps([
      step(0, moved), step(1, moved), step(2, moved.map { -$0 }), step(3, other), step(0, moved),
    ])
    // The variance of a uniform number of width 1 is 1/12.
    #expect(abs(model.change(of: [0, 1]) - (-0.02 + 1 / 12.0)) < 0.01)
    #expect(abs(model.change(of: [0, 2]) - (-0.02 - 1 / 12.0)) < 0.01)
    #expect(model.change(of: [0, 3]) == -0.02)
    let best = model.best(spare: 0, penalty: 0)
    // The step that is opposite to the two equal ones compensates for them.
    #expect(best.contains(2) && best.contains(3) && best.count == 4)
  }
}
