import Foundation
import Transformer

/// Computes an importance matrix, with snapshots that a run which was interrupted goes on from.
///
/// A snapshot is two files beside each other: the sums of all layers that are done, itself a valid importance matrix,
/// and the hidden states behind the last of them. A resumed run gives the bits of an uninterrupted one.
public struct ImportanceRun {
  public let pass: ForwardPass
  public let windows: [[Int32]]
  public let datasets: [String]
  /// Also collect for the output head.
  public var output = false
  /// Let every expert see every token.
  public var allExperts = false
  /// Where snapshots go, without extension; nil for none.
  public var snapshotPath: String?
  /// Seconds between snapshots.
  public var snapshotInterval = 600.0

  public init(pass: ForwardPass, windows: [[Int32]], datasets: [String]) {
    self.pass = pass
    self.windows = windows
    self.datasets = datasets
  }

  private var sumsPath: String? { snapshotPath.map { $0 + ".sums.gguf" } }
  private var statesPath: String? { snapshotPath.map { $0 + ".states.gguf" } }

  private var collector: ImportanceCollector { ImportanceCollector(output: output, allExperts: allExperts) }

  /// What the run will take.
  public func plan() throws -> ForwardPlan {
    try pass.plan(windows: windows.count, length: windows.first?.count ?? 0, observer: collector)
  }

  /// - Parameters:
  ///   - progress: layers that are done, of how many.
  ///   - working: the part of the operations that is done, called after each.
  /// - Throws: ``ForwardError``, and what reading and writing throw.
  public func run(
    progress: (_ layersDone: Int, _ layers: Int) throws -> Void = { _, _ in },
    working: (Double) throws -> Void = { _ in }
  ) throws -> ImportanceMatrix {
    let collector = collector
    let resumed = try resume(collector)
    if let resumed { try progress(resumed.layer, pass.decoder.layerCount) }
    let clock = ContinuousClock()
    var last = clock.now
    _ = try pass.run(
      windows: windows, scored: 0..<0, observer: collector, resuming: resumed,
      progress: progress, working: working,
      snapshot: { states in
        guard let sumsPath, let statesPath, clock.now - last >= .seconds(snapshotInterval) else { return }
        // Without states there is nothing to resume, so sums that lie beside older states do no harm: states name the
        // layer, and sums of later layers are collected again.
        try matrix(collector).write(gguf: sumsPath, overwrite: true)
        try pass.write(states, of: windows, to: statesPath)
        last = clock.now
      })
    removeSnapshot()
    return matrix(collector)
  }

  private func matrix(_ collector: ImportanceCollector) -> ImportanceMatrix {
    collector.matrix(datasets: datasets, chunkCount: windows.count, chunkSize: windows.first?.count ?? 0)
  }

  private func resume(_ collector: ImportanceCollector) throws -> HiddenStates? {
    guard let sumsPath, let statesPath, FileManager.default.fileExists(atPath: sumsPath),
      FileManager.default.fileExists(atPath: statesPath),
      let states = try pass.states(from: statesPath, of: windows, observer: collector)
    else { return nil }
    var sums = try ImportanceMatrix(path: sumsPath)
    for layer in states.layer..<pass.decoder.layerCount {
      for name in sums.names where name.hasPrefix("blk.\(layer).") { sums.entries[name] = nil }
    }
    collector.resume(from: sums)
    return states
  }

  private func removeSnapshot() {
    for path in [sumsPath, statesPath] {
      if let path { try? FileManager.default.removeItem(atPath: path) }
    }
  }
}
