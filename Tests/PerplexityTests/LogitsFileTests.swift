import Foundation
import Perplexity
import Tensors
import TestSupport
import Testing

@Suite struct LogitsFileTests {
  let directory: TemporaryDirectory
  init() throws { directory = try TemporaryDirectory() }

  // An odd vocabulary is padded.
  @Test(arguments: [40, 41]) func roundTrip(vocabulary: Int) throws {
    let windows = try randomWindows(30, context: 8, vocabulary: vocabulary, seed: 41)
    let pair = randomPair(rows: windows.rowCount, vocabulary: vocabulary, spread: 4, noise: 0.5, seed: 42)
    let path = directory.path("base.logits")
    try LogitsFile.write(pair.base, windows: windows, to: path, memory: 1)
    let file = try LogitsFile(path: path, bos: nil)
    #expect(file.byteCount == LogitsFile.byteCount(windows: windows, vocabulary: vocabulary))
    #expect(file.windows.windows == windows.windows && file.windows.targets == windows.targets)
    let stored = try Drift.measure(base: file, candidates: [("b", pair.candidate)], memory: scoringMemory)[0]
    let exact = try Drift.measure(
      base: ("a", pair.base), candidates: [("b", pair.candidate)], windows: windows, memory: scoringMemory)[0]
    // A range of 8 nats in 65,535 steps: log-probabilities have errors of at most 6e-5.
    #expect(zip(stored.divergences, exact.divergences).allSatisfy { abs($0 - $1) < 2e-4 })
    #expect(zip(stored.baseLosses, exact.baseLosses).allSatisfy { abs($0 - $1) < 7e-5 })
    #expect(stored.losses == exact.losses)
    #expect(stored.sameTops == exact.sameTops)
  }

  /// The format clamps values more than 16 below the maximum; a compact reference does not.
  @Test func clampsUnlikeTheCompactReference() throws {
    let windows = try randomWindows(1, context: 8, vocabulary: 4, seed: 43)
    let values: [Float] = (0..<3).flatMap { _ in [30, 29, 5, 2] as [Float] }
    let base = TableSource(rows: 3, vocabulary: 4, values: values)
    var rare = windows
    rare = try ScoringWindows(tokens: [0, 0, 0, 0, 0, 3, 3, 3], context: 8, bos: nil)
    let path = directory.path("clamped.logits")
    try LogitsFile.write(base, windows: rare, to: path, memory: scoringMemory)
    let clamped = try Drift.measure(
      base: LogitsFile(path: path, bos: nil), candidates: [("b", base)], memory: scoringMemory)[0]
    #expect(clamped.baseLosses.allSatisfy { abs($0 - 16.3133) < 1e-3 })
    #expect(abs(clamped.losses[0] - 28.3133) < 1e-3)
    let compactPath = directory.path("whole.qref")
    try CompactReference.write(
      base, windows: rare, provenance: provenance(context: 8, vocabulary: 4), to: compactPath, memory: scoringMemory)
    let compact = try Drift.measure(
      base: CompactReference(path: compactPath), candidates: [("b", base)], memory: scoringMemory)[0]
    #expect(compact.baseLosses.allSatisfy { abs($0 - 28.3133) < 1e-3 })
  }

  @Test func replacesTheFirstTokenByBOS() throws {
    let windows = try randomWindows(2, context: 8, vocabulary: 40, seed: 44)
    let base = randomPair(rows: windows.rowCount, vocabulary: 40, spread: 4, noise: 0, seed: 45).base
    try LogitsFile.write(base, windows: windows, to: directory.path("l"), memory: scoringMemory)
    #expect(try LogitsFile(path: directory.path("l"), bos: 7).windows.windows.map { $0[0] } == [7, 7])
  }

  @Test func refusesDamagedFiles() throws {
    let windows = try randomWindows(2, context: 8, vocabulary: 40, seed: 46)
    let base = randomPair(rows: windows.rowCount, vocabulary: 40, spread: 4, noise: 0, seed: 47).base
    let path = directory.path("good.logits")
    try LogitsFile.write(base, windows: windows, to: path, memory: scoringMemory)
    let good = Array(try Data(contentsOf: URL(filePath: path)))
    func open(_ change: (inout [UInt8]) -> Void) throws {
      var bytes = good
      change(&bytes)
      let bad = directory.path("bad.logits")
      try Data(bytes).write(to: URL(filePath: bad))
      _ = try Drift.measure(base: LogitsFile(path: bad, bos: nil), candidates: [("b", base)], memory: scoringMemory)
    }
    try open { _ in }
    #expect(throws: ReferenceError.self) { try open { $0[0] = 0 } }
    #expect(throws: ReferenceError.self) { try open { $0.removeLast() } }
    #expect(throws: ReferenceError.self) { try open { $0.append(0) } }
    #expect(throws: ReferenceError.self) { try open { $0.removeSubrange(10...) } }
    // Context, vocabulary and windows of 2^31 - 1, and negative.
    for offset in [8, 12, 16] {
      #expect(throws: ReferenceError.self) {
        try open { $0.replaceSubrange(offset..<offset + 4, with: [255, 255, 255, 127]) }
      }
      #expect(throws: ReferenceError.self) { try open { $0[offset + 3] = 255 } }
    }
    #expect(throws: ReferenceError.self) { try open { $0[22] = 1 } }
    // A scale of NaN in the first position.
    let first = 20 + 2 * 8 * 4
    #expect(throws: ReferenceError.self) {
      try open { $0.replaceSubrange(first..<first + 4, with: [0, 0, 192, 127]) }
    }
  }

  @Test func hasNoStride() throws {
    let windows = try ScoringWindows(tokens: (0..<40).map { Int32($0) }, context: 8, bos: nil, stride: 2)
    let base = randomPair(rows: windows.rowCount, vocabulary: 40, spread: 4, noise: 0, seed: 48).base
    #expect(throws: ReferenceError.self) {
      try LogitsFile.write(base, windows: windows, to: directory.path("s"), memory: scoringMemory)
    }
    #expect(directory.contents.isEmpty)
  }
}
