import Fit
import Perplexity
import Testing

@Suite struct FitTextsTests {
  /// Windows whose tokens are their index.
  private func text(_ count: Int) throws -> ScoringWindows {
    try ScoringWindows(tokens: (0..<Int32(count * 8)).map { $0 / 8 }, context: 8, bos: nil)
  }

  private func numbers(_ windows: ScoringWindows?) -> [Int] { windows?.windows.map { Int($0[0]) } ?? [] }

  @Test func partsAreDisjointAndOfAllTheText() throws {
    let texts = FitTexts(try text(40), seconds: 1, budget: 1e9)
    let parts = [numbers(texts.probes), numbers(texts.search), numbers(texts.final)]
    #expect(Set(parts.joined()).count == 40 && parts.map(\.count) == [20, 10, 10])
    for part in parts { #expect(part.first! < 4 && part.last! >= 36, "\(part)") }
    // Errors are fed back by all text but that of the last comparison.
    #expect(numbers(texts.feedback) == (0..<40).filter { !numbers(texts.final).contains($0) })
  }

  /// A short text has fewer parts; no window is used for two of them.
  @Test(arguments: [(1, [0], [], []), (2, [0], [], [1]), (3, [0], [2], [1]), (4, [0, 2], [3], [1])])
  func shortTexts(windows: Int, probes: [Int], search: [Int], final: [Int]) throws {
    let texts = FitTexts(try text(windows), seconds: 1, budget: 1e9)
    #expect(numbers(texts.probes) == probes && numbers(texts.search) == search && numbers(texts.final) == final)
    #expect(texts.windowCount == windows && texts.context == 8)
    #expect(numbers(texts.feedback) == (0..<windows).filter { !final.contains($0) })
  }

  /// The budget determines the number of windows in each part, within limits, but not which part a window belongs to.
  @Test func amountsGoByTheBudget() throws {
    let text = try text(400)
    var policy = FitPolicy()
    policy.passes = 60
    let few = FitTexts(text, seconds: 1, budget: 0, policy: policy)
    #expect([few.probes.windows.count, few.search!.windows.count, few.final!.windows.count] == [4, 4, 4])
    let some = FitTexts(text, seconds: 1, budget: 60 * 20, policy: policy)
    #expect([some.probes.windows.count, some.search!.windows.count, some.final!.windows.count] == [20, 20, 20])
    let all = FitTexts(text, seconds: 1, budget: 1e9, policy: policy)
    #expect([all.probes.windows.count, all.search!.windows.count, all.final!.windows.count] == [32, 100, 100])
    for texts in [few, some, all] {
      #expect(numbers(texts.probes).allSatisfy { $0 % 2 == 0 })
      #expect(numbers(texts.search).allSatisfy { $0 % 4 == 3 } && numbers(texts.final).allSatisfy { $0 % 4 == 1 })
    }
  }
}
