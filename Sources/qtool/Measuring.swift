import Checkpoint
import Foundation
import GGUF
import Imatrix
import Perplexity
import Quantize
import Sensitivity
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

/// Measures sensitivities, going on from the file at `kept` where it is of the same measurement, and keeping that up to
/// date.
///
/// - Parameter kept: the file's path, given an empty table that says what is measured; nil for none.
func measureSensitivity(
  of source: any ModelSource, _ matrix: ImportanceMatrix?, _ windows: ScoringWindows, budget: Double?, bands: Int?,
  restart: Bool, kept: (SensitivityTable) -> String?, _ options: RunOptions, _ progress: Progress
) throws -> SensitivityTable {
  let types = GGMLType.allCases.filter { $0.canEncode && $0.isQuantized && (matrix != nil || !$0.needsImportance) }
  let probes = Probes(source: source, importance: matrix?.lookup, windows: windows, options: options.forward)
  var run = SensitivityRun(probes: probes, types: types)
  run.budget = budget
  run.bands = bands
  run.importanceFingerprint = matrix?.digest
  run.textFingerprint = windows.digest
  let empty = try run.emptyTable()
  let path = kept(empty)
  var earlier = restart ? nil : path.flatMap { try? SensitivityTable(path: $0) }
  if earlier?.matches(empty) == false { earlier = nil }
  if let earlier, let path {
    progress.note("\(earlier.isComplete ? "sensitivities from an earlier run" : "going on from"): \(path)")
  }
  progress.start(
    "\(source.name): sensitivity", total: 2 * source.tensors.count { $0.isQuantizable }, unit: .count("measurements"))
  let table = try run.run(continuing: earlier) { done, _, detail in
    try Interruption.check()
    progress.update(done, detail)
  } save: { table in
    if let path { try table.write(to: path, overwrite: true) }
  }
  if let path, table != earlier { try table.write(to: path, overwrite: true) }
  progress.finish()
  return table
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
