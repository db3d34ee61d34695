import Checkpoint
import Files
import Fit
import Foundation
import GGUF
import Imatrix
import Perplexity
import Quantize
import Tensors
import Tokenizers
import Transformer

/// Calibration text, cut into what probes run over and what mixes are judged by.
struct MeasuringText {
  static let context = 512
  let probes: ScoringWindows
  let validation: ScoringWindows

  /// Every fourth window is kept for validation, so that both parts have all kinds of text. Of each part as much is
  /// used as the budget allows for the passes that measuring takes, by the machine's number of processors: neither by
  /// --threads nor by the clock, so that the same command finds the same.
  init(_ calibration: Calibration, _ source: any ModelSource, _ options: RunOptions, budget: Double) throws {
    let tokenizer = try Tokenizer(metadata: source.metadata)
    let trained = try Decoder(source).contextLength
    let all = try calibration.windows(tokenizer, context: min(Self.context, max(8, trained)))
    let count = all.windows.count
    func joined(_ places: [Int]) -> ScoringWindows {
      ScoringWindows(joining: places.map { all[$0..<$0 + 1] })
    }
    guard count > 1 else {
      (probes, validation) = (all, all)
      return
    }
    let pass = try ForwardPass(source: source, options: options.forward)
    let each = try pass.plan(windows: 1, length: all.context).operations / nominalSpeed
    func spread(_ places: [Int], passes: Double, least: Int, most: Int) -> [Int] {
      let affordable = Int(max(0, min(1e6, budget / passes / each)))
      let number = min(places.count, max(least, min(most, affordable)))
      return (0..<number).map { places[$0 * places.count / number] }
    }
    let held = stride(from: 3, to: count, by: 4).map { $0 }
    validation = joined(spread(held.isEmpty ? [count - 1] : held, passes: 60, least: 4, most: 256))
    probes = joined(spread((0..<count).filter { $0 % 4 != 3 }, passes: 60, least: 4, most: 32))
  }
}

/// Measures sensitivities.
///
/// - Parameters:
///   - earlier: what an earlier run has kept, given an empty table that says what is measured.
///   - keep: called with the table so far, and when it is complete.
func measureSensitivity(
  of source: any ModelSource, _ matrix: ImportanceMatrix?, _ windows: ScoringWindows, budget: Double?, bands: Int?,
  earlier: (SensitivityTable) -> SensitivityTable?, keep: (SensitivityTable) throws -> Void, _ options: RunOptions,
  _ progress: Progress
) throws -> SensitivityTable {
  let types = GGMLType.allCases.filter { $0.canEncode && $0.isQuantized && (matrix != nil || !$0.needsImportance) }
  let probes = Probes(source: source, importance: matrix?.lookup, windows: windows, options: options.forward)
  var run = SensitivityRun(probes: probes, types: types)
  run.budget = budget
  run.bands = bands
  run.importanceFingerprint = matrix?.digest
  run.textFingerprint = windows.digest
  let empty = try run.emptyTable()
  let earlier = earlier(empty).flatMap { $0.matches(empty) ? $0 : nil }
  progress.start(
    "\(source.name): sensitivity", total: 2 * source.tensors.count { $0.isQuantizable }, unit: .count("measurements"))
  let table = try run.run(continuing: earlier) { done, _, detail in
    try Interruption.check()
    progress.update(done, detail)
  } save: {
    try keep($0)
  }
  if table != earlier { try keep(table) }
  progress.finish()
  return table
}

/// Tables of a run of hours beside its output, the last of them in a file of its own.
struct KeptTables {
  private let kept: KeptRun
  private var prefix: String { kept.path + "-table-" }
  private static let key = "table "

  init(_ kept: KeptRun) { self.kept = kept }

  private func file(_ number: Int) -> String { "\(prefix)\(number).json" }

  /// The last table that is whole.
  func last() -> SensitivityTable? {
    let known = kept.journal.inherited.compactMap { key, digest in
      key.hasPrefix(Self.key) ? Int(key.dropFirst(Self.key.count)).map { (number: $0, digest: digest) } : nil
    }
    for (number, digest) in known.sorted(by: { $1.number < $0.number }) {
      if (try? DataDigest.ofFile(file(number))) == digest, let table = try? SensitivityTable(path: file(number)) {
        return table
      }
    }
    return nil
  }

  func keep(_ table: SensitivityTable) throws {
    let number = kept.journal.entries.keys.count { $0.hasPrefix(Self.key) }
    try table.write(to: file(number), overwrite: true)
    try kept.journal.record("\(Self.key)\(number)", sha256: try DataDigest.ofFile(file(number)))
    PrefixedFiles(prefix).remove(except: [file(number)])
  }
}

extension ImportanceMatrix {
  /// The importance of any tensor, as a quantizer asks for it.
  var lookup: Importance {
    { tensor in importance(for: tensor) }
  }

  /// Without the tensors whose names contain one of `excluded`; only those that contain one of `included` where it
  /// is not empty.
  func selecting(included: [String], excluded: [String]) -> ImportanceMatrix {
    var result = self
    result.entries = entries.filter { name, _ in
      !excluded.contains { name.contains($0) } && (included.isEmpty || included.contains { name.contains($0) })
    }
    return result
  }
}
