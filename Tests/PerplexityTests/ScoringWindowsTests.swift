import Perplexity
import Testing

@Suite struct ScoringWindowsTests {
  let tokens = (0..<35).map { Int32($0 + 100) }

  @Test func scoresTheSecondHalfOfEachWindow() throws {
    let windows = try ScoringWindows(tokens: tokens, context: 16, bos: 1)
    #expect(windows.windows.count == 2)
    #expect(windows.windows[1] == [1] + (117..<132))
    #expect(windows.scored == 8..<15)
    #expect(windows.targets == Array(109..<116) + Array(125..<132))
    #expect(windows.rowCount == 14)
  }

  @Test func keepsTheFirstTokenWithoutBOS() throws {
    let windows = try ScoringWindows(tokens: tokens, context: 7, bos: nil)
    #expect(windows.windows.map { $0[0] } == [100, 107, 114, 121, 128])
    #expect(windows.scored == 3..<6)
  }

  @Test func stridesScoreEveryTokenOnce() throws {
    let windows = try ScoringWindows(tokens: tokens, context: 8, bos: nil, stride: 3)
    #expect(windows.scored == 4..<7)
    #expect(windows.windows.count == 10)
    #expect(windows.targets == Array(105..<135))
  }

  @Test func limitsWindows() throws {
    #expect(try ScoringWindows(tokens: tokens, context: 4, bos: nil, limit: 3).windows.count == 3)
  }

  @Test func joinsAndSlices() throws {
    let a = try ScoringWindows(tokens: tokens, context: 16, bos: nil, name: "a.txt", kind: "prose")
    let b = try ScoringWindows(tokens: tokens.reversed(), context: 16, bos: nil, name: "b.txt", kind: "code")
    let both = ScoringWindows(joining: [a, b])
    #expect(both.parts.map(\.windows) == [0..<2, 2..<4])
    #expect(both.parts.map(\.kind) == ["prose", "code"])
    #expect(both.targets == a.targets + b.targets)
    let slice = both[1..<3]
    #expect(slice.windows == [a.windows[1], b.windows[0]])
    #expect(slice.parts.map(\.windows) == [0..<1, 1..<2])
    #expect(slice.targets == Array(a.targets.suffix(7)) + b.targets.prefix(7))
    #expect(slice.numbers == [1, 2])
    let picked = both.selecting([3, 0])
    #expect(picked.windows == [b.windows[1], a.windows[0]] && picked.numbers == [3, 0])
    #expect(picked.parts.map(\.name) == ["b.txt", "a.txt"])
  }

  @Test func refusesInvalidWindows() {
    #expect(throws: ScoringError.textTooShort(name: "text", tokens: 35, needed: 36)) {
      try ScoringWindows(tokens: tokens, context: 36, bos: nil)
    }
    #expect(throws: ScoringError.badWindow(context: 3, stride: nil)) {
      try ScoringWindows(tokens: tokens, context: 3, bos: nil)
    }
    #expect(throws: ScoringError.badWindow(context: 8, stride: 8)) {
      try ScoringWindows(tokens: tokens, context: 8, bos: nil, stride: 8)
    }
    let error = ScoringError.textTooShort(name: "a.txt", tokens: 35, needed: 512)
    #expect(error.description.contains("477"))
  }
}
