import Fit
import Tensors
import TestSupport
import Testing

@Suite struct AllocationTests {
  /// Random tensors whose larger options cost less, like types.
  private func random(_ count: Int, options: Int, _ generator: inout SplitMix) -> [[AllocationOption]] {
    (0..<count).map { _ in
      let scale = Double.random(in: 0.1..<10, using: &generator)
      let size = Int.random(in: 1...40, using: &generator) * 32
      return (1...options).map { level in
        let noise = Double.random(in: 0.8..<1.2, using: &generator)
        return AllocationOption(
          type: .f16, bytes: size * level, cost: level == options ? 0 : scale / Double(level * level) * noise)
      }
    }
  }

  private func best(_ tensors: ArraySlice<[AllocationOption]>, budget: Int) -> Double? {
    guard let first = tensors.first else { return 0 }
    return first.compactMap { option -> Double? in
      guard option.bytes <= budget else { return nil }
      return best(tensors.dropFirst(), budget: budget - option.bytes).map { $0 + option.cost }
    }.min()
  }

  /// The result equals that of trying every combination.
  @Test func findsTheBestThereIs() throws {
    var generator = SplitMix(seed: 20)
    for round in 0..<200 {
      let tensors = random(7, options: 5, &generator)
      let minimum = tensors.reduce(0) { $0 + $1[0].bytes }
      let maximum = tensors.reduce(0) { $0 + $1[4].bytes }
      let budget = minimum + (maximum - minimum) * (round % 10 + 1) / 11
      let allocation = try #require(Allocation(tensors, budget: budget))
      let exact = try #require(best(tensors[...], budget: budget))
      #expect(allocation.bytes <= budget)
      #expect(abs(allocation.cost - exact) < 1e-9, "round \(round)")
    }
  }

  /// The Lagrangian solution, for large tables, is close to the exact one.
  @Test func theLagrangianComesClose() throws {
    var generator = SplitMix(seed: 22)
    for round in 1...20 {
      let tensors = random(80, options: 8, &generator)
      let minimum = tensors.reduce(0) { $0 + $1[0].bytes }
      let budget = minimum + minimum * round / 5
      let exact = try #require(Allocation(tensors, budget: budget))
      let close = try #require(
        AllocationSolver(tensors, upTo: budget, tableLimit: 0).allocation(budget: budget))
      #expect(close.bytes <= budget)
      #expect(close.cost >= exact.cost - 1e-9 && close.cost < exact.cost * 1.01, "\(close.cost) and \(exact.cost)")
    }
  }

  @Test func fillsTheBudgetOfManyTensors() throws {
    var generator = SplitMix(seed: 21)
    let tensors = random(1000, options: 12, &generator)
    let minimum = tensors.reduce(0) { $0 + $1[0].bytes }
    let allocation = try #require(
      AllocationSolver(tensors, upTo: minimum * 4, tableLimit: 0).allocation(budget: minimum * 4))
    #expect(allocation.bytes <= minimum * 4)
    #expect(Double(allocation.bytes) > 0.999 * Double(minimum * 4))
  }

  @Test func saysWhenNothingFits() {
    let option = AllocationOption(type: .q4_K, bytes: 100, cost: 1)
    #expect(Allocation([[option], [option]], budget: 199) == nil)
    #expect(Allocation([[option], [option]], budget: 200)?.bytes == 200)
  }

  @Test func aCheaperOptionThatIsSmallerWins() throws {
    let tensors = [
      [AllocationOption(type: .q3_K, bytes: 110, cost: 2), AllocationOption(type: .iq3_s, bytes: 105, cost: 1)]
    ]
    let allocation = try #require(Allocation(tensors, budget: 1000))
    #expect(allocation.choices == [1])
  }
}
