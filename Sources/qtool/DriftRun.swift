import Checkpoint
import Files
import Fit
import Foundation
import GGUF
import Hub
import Perplexity
import Tensors
import Tokenizers

/// The base that models are compared with.
enum DriftBase {
  case model(any ModelSource)
  case compact(CompactReference)
  case logits(LogitsFile)

  var name: String {
    switch self {
    case .model(let source): source.name
    case .compact(let reference): reference.provenance.model
    case .logits(let file): URL(filePath: file.path).lastPathComponent
    }
  }

  /// The reference as reports show it.
  var description: DriftReport.Base {
    switch self {
    case .model(let source): DriftReport.Base(ModelSize(source))
    case .compact(let reference):
      DriftReport.Base(
        name: name, form: .compact, bytes: reference.byteCount, provenance: reference.provenance)
    case .logits(let file): DriftReport.Base(name: name, form: .logits, bytes: file.byteCount)
    }
  }

  enum Form { case model, compact, logits }

  /// The form of a file, by its first bytes.
  static func form(of path: String) throws -> Form {
    if HubReference.isReference(path) || ModelLocation.isCheckpoint(path) { return .model }
    let file = try PositionedFile(path: path)
    let start = try file.bytes(in: 0..<min(8, file.size))
    if start.starts(with: Array("QREF".utf8)) { return .compact }
    return start.starts(with: Array("_logits_".utf8)) ? .logits : .model
  }
}

/// A comparison of several models with one reference.
struct DriftRun {
  let base: DriftBase
  let candidates: [any ModelSource]
  let windows: ScoringWindows
  /// Index of each window in a stored reference.
  let storedIndices: [Int]
  let options: RunOptions
  let progress: Progress
  /// Journal and snapshots; nil to keep nothing.
  var kept: KeptRun?

  /// The drift of every candidate over a batch of windows.
  ///
  /// - Parameters:
  ///   - number: index of the batch.
  ///   - finishedBase: called after the base model has run, before the candidates run.
  func measure(
    windows batch: [Int], number: Int = 0,
    finishedBase: (_ states: any LogitSource, _ memory: Int) throws -> Void = { _, _ in }
  ) throws -> [Drift] {
    let part = batch == Array(windows.windows.indices) ? windows : windows.selecting(batch)
    let stored = batch.map { storedIndices[$0] }
    var sources = candidates
    if case .model(let source) = base { sources.insert(source, at: 0) }
    let scored = try ScoredModels.running(
      sources, over: part, options, progress, snapshots: { snapshots(batch: number, model: $0) }
    ) { index, states, memory in
      if case .model = base, index == 0 { try finishedBase(states, memory) }
    }
    guard !candidates.isEmpty else { return [] }
    progress.start("comparing with \(base.name)", total: part.rowCount, unit: .positions)
    let advance = StageObserver(progress: progress, total: part.rowCount)
    let drifts =
      switch base {
      case .model:
        try Drift.measure(
          base: scored.models[0], candidates: Array(scored.models.dropFirst()), windows: part, memory: scored.memory,
          progress: advance)
      case .compact(let reference):
        try Drift.measure(
          base: reference, candidates: scored.models, windows: stored, memory: scored.memory, progress: advance)
      case .logits(let file):
        try Drift.measure(
          base: file, candidates: scored.models, windows: stored, memory: scored.memory, progress: advance)
      }
    progress.finish()
    return drifts
  }

  /// Scores batch after batch until the widest interval is narrower than `limit`.
  func measure(stoppingAt limit: Double) throws -> (drifts: [Drift], windows: ScoringWindows) {
    var drifts: [Drift] = []
    var chosen: [Int] = []
    let batches = SampleOrder(windows: windows.windows.count).batches
    for (index, batch) in batches.enumerated() {
      let more = try keptDrifts(batch: index) ?? measure(windows: batch, number: index)
      try keep(more, batch: index)
      if index == 0 { drifts = more } else { for model in drifts.indices { drifts[model].append(more[model]) } }
      chosen += batch
      let width = report(drifts, windows.selecting(chosen)).widestInterval
      progress.note(
        "\(chosen.count) of \(windows.windows.count) windows: the widest interval is \(Figures.significant(width))")
      if width < limit { break }
    }
    return (drifts, windows.selecting(chosen))
  }

  func report(_ drifts: [Drift], _ windows: ScoringWindows) -> DriftReport {
    DriftReport(
      base: base.description, windows: windows, drifts: zip(candidates, drifts).map { (ModelSize($0), $1) },
      available: self.windows.windows.count)
  }
}
