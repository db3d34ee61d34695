import Files
import Fit
import Foundation
import GGUF
import Perplexity
import Transformer

/// Results that an interrupted comparison keeps: snapshots of the current pass, the final states of every finished model,
/// and the figures of every finished batch of windows.
extension DriftRun {
  /// The inputs of the figures.
  func identity(stoppingAt limit: Double?) throws -> RunIdentity {
    var fields: [RunIdentity.Field] = []
    switch base {
    case .model(let source): fields.append(.init("base model", try ModelFingerprint(of: source).hex))
    case .compact(let reference): fields.append(.init("stored reference", try DataDigest.ofFile(reference.path)))
    case .logits(let file): fields.append(.init("stored reference", try DataDigest.ofFile(file.path)))
    }
    for (index, model) in candidates.enumerated() {
      fields.append(.init("model \(index + 1)", try ModelFingerprint(of: model).hex))
    }
    fields += [
      .init("context size", "\(windows.context)"), .init("number of windows", "\(windows.windows.count)"),
      .init("text", windows.digest), .init("--stop-at", limit.map { "\($0)" } ?? "none"),
      .init("version of qtool", QTool.version),
    ]
    return RunIdentity(fields)
  }

  func snapshots(batch: Int, model: Int) -> PassSnapshots? {
    kept.map {
      PassSnapshots(
        $0.journal, name: "batch \(batch), model \(model)", path: "\($0.path)-\(batch)-\(model)", seconds: $0.seconds)
    }
  }

  private func key(_ batch: Int) -> String { "batch \(batch), drift" }
  private func file(_ batch: Int, _ kept: KeptRun) -> String { "\(kept.path)-\(batch)-drift.json" }

  /// The figures of a batch from an interrupted run.
  func keptDrifts(batch: Int) throws -> [Drift]? {
    guard let kept, let digest = kept.journal.inherited[key(batch)],
      (try? DataDigest.ofFile(file(batch, kept))) == digest,
      let data = FileManager.default.contents(atPath: file(batch, kept))
    else { return nil }
    return try? JSONDecoder().decode([Drift].self, from: data)
  }

  /// Stores the figures of a batch, and removes the states from which they were computed.
  func keep(_ drifts: [Drift], batch: Int) throws {
    guard let kept, kept.journal.entries[key(batch)] == nil else { return }
    let output = try OutputFile(path: file(batch, kept), overwrite: true)
    try output.write(Array(try JSONEncoder().encode(drifts)))
    try output.commit()
    try kept.journal.record(key(batch), sha256: try DataDigest.ofFile(file(batch, kept)))
    PrefixedFiles("\(kept.path)-\(batch)-").remove(except: [file(batch, kept)])
  }
}
