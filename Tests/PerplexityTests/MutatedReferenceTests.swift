import Files
import Foundation
import Perplexity
import TestSupport
import Testing

/// Damaged and forged references give typed errors.
@Suite struct MutatedReferenceTests {
  @Test func compactReferences() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      let windows = try randomWindows(3, context: 8, vocabulary: 60, seed: 31)
      let pair = zipfPair(rows: windows.rowCount, vocabulary: 60, exponent: 1, noise: 0.1, seed: 32)
      let directory = try TemporaryDirectory()
      let path = directory.path("a.qref")
      try CompactReference.write(
        pair.base, windows: windows, provenance: provenance(context: 8, vocabulary: 60), to: path, memory: scoringMemory
      )
      try MutatedFiles.binary.survive(
        Array(try Data(contentsOf: URL(filePath: path))), named: "b.qref", repair: repairDigest,
        isTyped: { $0 is ReferenceError || $0 is ScoringError || $0 is FileError },
        read: { path, _ in
          let reference = try CompactReference(path: path)
          // For a model of another size, the reference is only opened.
          guard reference.vocabularyCount == 60, reference.rowCount == pair.candidate.rowCount else { return }
          _ = try Drift.measure(base: reference, candidates: [("other", pair.candidate)], memory: scoringMemory)
        })
    }
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }

  @Test func filesOfLogits() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      let windows = try randomWindows(3, context: 8, vocabulary: 60, seed: 33)
      let pair = zipfPair(rows: windows.rowCount, vocabulary: 60, exponent: 1, noise: 0.1, seed: 34)
      let directory = try TemporaryDirectory()
      let path = directory.path("a.logits")
      try LogitsFile.write(pair.base, windows: windows, to: path, memory: scoringMemory)
      try MutatedFiles.binary.survive(
        Array(try Data(contentsOf: URL(filePath: path))), named: "b.logits",
        isTyped: { $0 is ReferenceError || $0 is ScoringError || $0 is FileError },
        read: { path, _ in
          let file = try LogitsFile(path: path, bos: 1)
          guard file.vocabularyCount == 60, file.rowCount == pair.candidate.rowCount else { return }
          _ = try Drift.measure(
            base: ("base", file), candidates: [("other", pair.candidate)], windows: file.windows, memory: scoringMemory)
        })
    }
    #expect(String(decoding: (result?.standardErrorContent ?? []).suffix(500), as: UTF8.self) == "")
  }
}

/// Corrects the checksum of a reference's header and table, so that the damage reaches their contents.
private func repairDigest(_ bytes: inout [UInt8]) {
  func integer(_ offset: Int) -> Int? {
    guard offset >= 0, offset + 8 <= bytes.count else { return nil }
    let value = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[offset + $1]) << (8 * UInt64($1)) }
    return value < 1 << 40 ? Int(value) : nil
  }
  // The first offset of the table is the end of the table and its checksum.
  guard let length = integer(8), let end = integer(16 + length), end - 32 > 16 + length, end <= bytes.count else {
    return
  }
  bytes.replaceSubrange(end - 32..<end, with: DataDigest.bytes(of: Array(bytes.prefix(end - 32))))
}
