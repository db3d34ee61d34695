import Foundation
import GGUF
import TestSupport
import Testing
import Transformer

@Suite(.serialized) struct BudgetTests {
  /// The smallest budget in which a pass runs.
  private func minimumBudget(_ model: any ModelSource, windows: Int, length: Int) throws -> Int {
    let pass = try ForwardPass(source: model, options: ForwardOptions(memory: 1))
    do {
      _ = try pass.plan(windows: windows, length: length)
      return 1
    } catch ForwardError.budgetTooSmall(_, let minimum) {
      return minimum
    }
  }

  @Test(arguments: Golden.names)
  func spilledStatesGiveTheSameLogits(name: String) throws {
    // The minimum depends on the number of threads.
    try withFixedThreads { try compareSpilled(Golden(name)) }
  }

  private func compareSpilled(_ golden: Golden) throws {
    let length = golden.windows[0].count
    let windows = Array(repeating: golden.windows, count: 40).flatMap { $0 }
    let minimum = try minimumBudget(golden.model, windows: windows.count, length: length)
    let small = try ForwardPass(source: golden.model, options: ForwardOptions(memory: minimum))
    #expect(try small.plan(windows: windows.count, length: length).spills)
    let large = try ForwardPass(source: golden.model)
    #expect(try !large.plan(windows: windows.count, length: length).spills)
    let expected = try allLogits(large.run(windows: windows, scored: 3..<23))
    #expect(try allLogits(small.run(windows: windows, scored: 3..<23)) == expected)
  }

  @Test func aTooSmallBudgetNamesTheMinimum() throws {
    let golden = try Golden("llama")
    try withFixedThreads {
      let minimum = try minimumBudget(golden.model, windows: 2, length: 24)
      #expect(minimum > 1)
      #expect(throws: ForwardError.budgetTooSmall(bytes: minimum - 1, minimum: minimum)) {
        try ForwardPass(source: golden.model, options: ForwardOptions(memory: minimum - 1)).embed(golden.windows)
      }
    }
  }
}
