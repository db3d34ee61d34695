import Files
import Foundation
import Perplexity
import Tensors
import TestSupport
import Testing

/// Logits whose probabilities fall with rank like those of words, in another order in each row.
func zipfPair(
  rows: Int, vocabulary: Int, exponent: Float, noise: Float, seed: UInt64
) -> (base: TableSource, candidate: TableSource) {
  var random = SplitMix(seed: seed)
  var base: [Float] = []
  let steps = (0..<vocabulary).map { -exponent * Float(log(Double($0 + 1))) }
  for _ in 0..<rows {
    // A stride that is coprime to any vocabulary scatters the ranks.
    let start = Int.random(in: 0..<vocabulary, using: &random)
    var row = [Float](repeating: 0, count: vocabulary)
    for token in 0..<vocabulary {
      row[(start + token * 104_729) % vocabulary] = steps[token] + Float.random(in: -0.5...0.5, using: &random)
    }
    base += row
  }
  let change = random.floats(rows * vocabulary, bound: noise)
  return (
    TableSource(rows: rows, vocabulary: vocabulary, values: base),
    TableSource(rows: rows, vocabulary: vocabulary, values: zip(base, change).map { $0 + $1 })
  )
}

func provenance(context: Int, vocabulary: Int) -> Provenance {
  Provenance(
    model: "base", modelFingerprint: "f00d", tokenizerDigest: "7e57", textDigest: "beef", context: context,
    vocabulary: vocabulary)
}

@Suite struct CompactReferenceTests {
  let directory: TemporaryDirectory
  init() throws { directory = try TemporaryDirectory() }

  // A steep, an ordinary and a nearly flat distribution. The tail of the last is above the target even with 1024 kept
  // tokens.
  @Test(arguments: [(500, 1.6), (5000, 1.1), (5000, 0.4)] as [(Int, Float)])
  func agreesWithTheCompleteReference(vocabulary: Int, exponent: Float) throws {
    let windows = try randomWindows(24, context: 16, vocabulary: vocabulary, seed: 21)
    let pair = zipfPair(rows: windows.rowCount, vocabulary: vocabulary, exponent: exponent, noise: 0.4, seed: 22)
    let path = directory.path("base.qref")
    try CompactReference.write(
      pair.base, windows: windows, provenance: provenance(context: 16, vocabulary: vocabulary), to: path,
      memory: scoringMemory)
    let reference = try CompactReference(path: path)
    #expect(reference.windows == windows)
    let candidates: [(name: String, source: any LogitSource)] = [("same", pair.base), ("other", pair.candidate)]
    let compact = try Drift.measure(base: reference, candidates: candidates, memory: scoringMemory)
    let whole = try Drift.measure(
      base: ("base", pair.base), candidates: candidates, windows: windows, memory: scoringMemory)
    for (one, exact) in zip(compact, whole) {
      let truncation = try #require(one.truncation)
      let mean = DriftStatistics(one).divergence.value
      let expected = DriftStatistics(exact).divergence.value
      #expect(abs(mean - expected) <= truncation.bound)
      #expect(truncation.least <= expected + 1e-6 && expected <= truncation.most + 1e-6)
      #expect(one.sameTops == exact.sameTops)
      #expect(zip(one.losses, exact.losses).allSatisfy { abs($0 - $1) < 1e-6 })
      #expect(zip(one.baseLosses, exact.baseLosses).allSatisfy { abs($0 - $1) < 1e-5 })
      // Tails of half a percent, or of the mass beyond 1024 tokens.
      let limit = exponent < 1.5 ? 0.3 : 0.01
      #expect(zip(one.divergences, exact.divergences).allSatisfy { abs($0 - $1) < limit })
    }
    // A model does not drift from itself: the gaps are rounding errors of the stored values.
    #expect(compact[0].divergences.allSatisfy { abs($0) < 1e-5 })
    #expect(try Drift.measure(base: reference, candidates: candidates, memory: 1) == compact)
  }

  /// A single window has few positions over which errors cancel, and the candidate is bad: the standard deviation of
  /// its tails is 1.7 nats.
  ///
  /// In the second case, the mass beyond 1024 tokens is several times the target.
  @Test(arguments: [(2000, 2, 3), (3000, 1.6, 1.2)] as [(Int, Float, Float)])
  func boundHoldsForOneWindow(vocabulary: Int, exponent: Float, noise: Float) throws {
    let windows = try randomWindows(1, context: 512, vocabulary: vocabulary, seed: 31)
    let pair = zipfPair(rows: windows.rowCount, vocabulary: vocabulary, exponent: exponent, noise: noise, seed: 32)
    let path = directory.path("one.qref")
    try CompactReference.write(
      pair.base, windows: windows, provenance: provenance(context: 512, vocabulary: vocabulary), to: path,
      memory: scoringMemory)
    let reference = try CompactReference(path: path)
    let drift = try Drift.measure(base: reference, candidates: [("other", pair.candidate)], memory: scoringMemory)[0]
    let exact = try Drift.measure(
      base: ("b", pair.base), candidates: [("other", pair.candidate)], windows: windows, memory: scoringMemory)[0]
    let gap = DriftStatistics(drift).divergence.value - DriftStatistics(exact).divergence.value
    let bound = try #require(drift.truncation).bound
    #expect(bound < 1e-4 && abs(gap) <= bound)
  }

  /// The size that the documentation promises, for Llama 3's vocabulary and a tail like that of text.
  @Test func isAFortiethOfTheUsualFile() throws {
    let vocabulary = 128_256
    let windows = try randomWindows(2, context: 16, vocabulary: vocabulary, seed: 23)
    let pair = zipfPair(rows: windows.rowCount, vocabulary: vocabulary, exponent: 1, noise: 0.2, seed: 24)
    let path = directory.path("large.qref")
    try CompactReference.write(
      pair.base, windows: windows, provenance: provenance(context: 16, vocabulary: vocabulary), to: path,
      memory: scoringMemory)
    let reference = try CompactReference(path: path)
    #expect(reference.byteCount * 40 <= LogitsFile.byteCount(windows: windows, vocabulary: vocabulary))
    // The estimate is valid even though half of the mass is in the tail, at 14 positions.
    let drift = try Drift.measure(base: reference, candidates: [("other", pair.candidate)], memory: scoringMemory)[0]
    let exact = try Drift.measure(
      base: ("b", pair.base), candidates: [("other", pair.candidate)], windows: windows, memory: scoringMemory)[0]
    let gap = DriftStatistics(drift).divergence.value - DriftStatistics(exact).divergence.value
    #expect(abs(gap) <= drift.truncation!.bound)
  }

  @Test func keepsPartsStrideAndBytes() throws {
    let tokens = (0..<60).map { Int32($0) }
    let one = try ScoringWindows(tokens: tokens, context: 16, bos: 3, stride: 5, name: "a.txt", kind: "code")
    let two = try ScoringWindows(tokens: tokens.reversed(), context: 16, bos: 3, stride: 5, name: "b.txt", kind: "chat")
    let windows = ScoringWindows(joining: [one, two])
    let base = zipfPair(rows: windows.rowCount, vocabulary: 60, exponent: 1, noise: 0, seed: 25).base
    func write(_ name: String, memory: Int) throws -> Data {
      try CompactReference.write(
        base, windows: windows, provenance: provenance(context: 16, vocabulary: 60), to: directory.path(name),
        memory: memory)
      return try Data(contentsOf: URL(filePath: directory.path(name)))
    }
    #expect(try write("a.qref", memory: 1) == write("b.qref", memory: 1 << 30))
    #expect(try CompactReference(path: directory.path("a.qref")).windows == windows)
    #expect(directory.contents == ["a.qref", "b.qref"])
  }

  @Test func namesTheFieldThatDiffers() throws {
    let recorded = provenance(context: 512, vocabulary: 100)
    try recorded.require(path: "p", textDigest: "beef", context: 512, vocabulary: 100)
    func field(_ body: () throws(ReferenceError) -> Void) -> String? {
      do {
        try body()
        return nil
      } catch .mismatch(_, let field, _, _) {
        return field
      } catch {
        return "another error"
      }
    }
    #expect(field { () throws(ReferenceError) in try recorded.require(path: "p", context: 1024) } == "context size")
    #expect(field { () throws(ReferenceError) in try recorded.require(path: "p", textDigest: "dead") } == "text digest")
    #expect(
      field { () throws(ReferenceError) in try recorded.require(path: "p", tokenizerDigest: "") } == "tokenizer digest")
    #expect(field { () throws(ReferenceError) in try recorded.require(path: "p", vocabulary: 9) } == "vocabulary size")
    #expect(
      field { () throws(ReferenceError) in try recorded.require(path: "p", modelFingerprint: "") }
        == "model fingerprint")
    #expect(Provenance.digest(of: [[1, 2], [3]]) != Provenance.digest(of: [[1], [2, 3]]))
  }

  @Test func nonFiniteLogitsLeaveNoFile() throws {
    let windows = try randomWindows(2, context: 8, vocabulary: 40, seed: 26)
    var base = zipfPair(rows: windows.rowCount, vocabulary: 40, exponent: 1, noise: 0, seed: 27).base
    base.values[40 * 4 + 3] = .nan
    #expect(throws: ScoringError.nonFiniteLogits(model: "base", window: 1, position: 5)) {
      try CompactReference.write(
        base, windows: windows, provenance: provenance(context: 8, vocabulary: 40), to: directory.path("bad.qref"),
        memory: scoringMemory)
    }
    #expect(directory.contents.isEmpty)
  }

  /// Damaged references are refused or read, without a crash.
  @Test func mutatedFiles() throws {
    let windows = try randomWindows(3, context: 8, vocabulary: 40, seed: 28)
    let base = zipfPair(rows: windows.rowCount, vocabulary: 40, exponent: 1, noise: 0, seed: 29).base
    let path = directory.path("base.qref")
    try CompactReference.write(
      base, windows: windows, provenance: provenance(context: 8, vocabulary: 40), to: path, memory: scoringMemory)
    let golden = Array(try Data(contentsOf: URL(filePath: path)))
    let damaged = directory.path("damaged.qref")
    let seed: UInt64 = 30
    var random = SplitMix(seed: seed)
    var refused = 0
    for _ in 0..<20_000 {
      var bytes = golden
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let index = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2: bytes.removeSubrange(index...)
        default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: index)
        }
        if bytes.isEmpty { break }
      }
      if bytes == golden { continue }
      try Data(bytes).write(to: URL(filePath: damaged))
      do {
        _ = try Drift.measure(base: CompactReference(path: damaged), candidates: [("b", base)], memory: scoringMemory)
      } catch is ReferenceError {
        refused += 1
      } catch is FileError {
        refused += 1
      }
    }
    // Every byte is covered by the checksum of the header or of a frame.
    #expect(refused > 19_000, "seed \(seed)")
  }

  /// Frames with valid checksums and invalid content.
  @Test func mutatedFrames() {
    let pair = zipfPair(rows: 5, vocabulary: 60, exponent: 1, noise: 0, seed: 31)
    let golden = CompactReference.encodedRows(pair.base.values, vocabulary: 60, limit: 20, samples: 4)
    #expect(CompactReference.isFrame(golden, rows: 5, vocabulary: 60, limit: 20, samples: 4))
    #expect(!CompactReference.isFrame(golden, rows: 5, vocabulary: 60, limit: 19, samples: 4))
    #expect(!CompactReference.isFrame(golden, rows: 5, vocabulary: 60, limit: 20, samples: 3))
    #expect(!CompactReference.isFrame(golden, rows: 4, vocabulary: 60, limit: 20, samples: 4))
    var random = SplitMix(seed: 32)
    var refused = 0
    for _ in 0..<20_000 {
      var bytes = golden
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      if Bool.random(using: &random) { bytes.removeLast(Int.random(in: 0...bytes.count, using: &random)) }
      if !CompactReference.isFrame(bytes, rows: 5, vocabulary: 60, limit: 20, samples: 4) { refused += 1 }
    }
    #expect(refused > 8_000)
  }
}
