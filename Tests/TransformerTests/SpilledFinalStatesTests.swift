import Testing
import Transformer

/// Logits of final states that are in the scratch file.
@Suite struct SpilledFinalStatesTests {
  @Test func areReadByRangesOfPositions() throws {
    let windows = RandomLlama().windows(3, length: 8)
    let plenty = try ForwardPass(source: RandomLlama().model()).run(windows: windows, scored: 3..<7)
    // So many runs share the memory that none remains for the states of this one.
    let options = ForwardOptions(memory: 1 << 30, results: 1 << 18)
    let spilled = try ForwardPass(source: RandomLlama().model(), options: options).run(windows: windows, scored: 3..<7)
    #expect(plenty.loadedRowBytes == 0)
    #expect(spilled.loadedRowBytes > 0)
    let expected = try allLogits(plenty)
    let vocabulary = spilled.vocabularyCount

    // Rows of two windows are loaded. Some of them are used, then others that are not loaded.
    try spilled.load(rows: 2..<7)
    for rows in [3..<6, 6..<7, 7..<12, 0..<1] {
      var logits = [Float](repeating: 0, count: rows.count * vocabulary)
      var span = logits.mutableSpan
      try spilled.logits(rows: rows, vocabulary: 0..<vocabulary, into: &span)
      #expect(logits == Array(expected[rows.lowerBound * vocabulary..<rows.upperBound * vocabulary]))
    }
    #expect(try allLogits(spilled) == expected)
  }
}
