import Files
import Tensors
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
  /// Where snapshots go; nil for none.
  public var snapshots: Snapshots?

  public struct Snapshots {
    /// Names the snapshots that are whole, with their sums.
    public let journal: RunJournal
    /// What the names of their files begin with.
    public let path: String
    /// From one snapshot to the next.
    public let seconds: Double

    public init(journal: RunJournal, path: String, seconds: Double) {
      self.journal = journal
      self.path = path
      self.seconds = seconds
    }

    fileprivate func sumsKey(_ layer: Int) -> String { "sums, layer \(layer)" }
    fileprivate func sumsFile(_ layer: Int) -> String { "\(path)-\(layer).sums.gguf" }
  }

  public init(pass: ForwardPass, windows: [[Int32]], datasets: [String]) {
    self.pass = pass
    self.windows = windows
    self.datasets = datasets
  }

  private var collector: ImportanceCollector { ImportanceCollector(output: output, allExperts: allExperts) }

  /// What the run will take.
  public func plan() throws -> ForwardPlan {
    try pass.plan(windows: windows.count, length: windows.first?.count ?? 0, observer: collector)
  }

  /// Computes the matrix. Snapshots stay until the caller has stored it and removes them.
  ///
  /// - Parameter progress: hears of every product, and of every layer; its steps are layers. May pause after every layer
  ///   but the last, which leaves a snapshot.
  /// - Throws: `Paused`, ``ForwardError``, and what reading and writing throw.
  public func run(progress: any RunObserver = NoObserver()) throws -> ImportanceMatrix {
    let collector = collector
    let kept = snapshots.map { PassSnapshots($0.journal, path: $0.path, seconds: $0.seconds) }
    let resumed = try kept.flatMap { try resume(collector, $0) }
    _ = try pass.run(
      windows: windows, scored: 0..<0, observer: collector, resuming: resumed,
      progress: progress,
      snapshot: { states in
        guard let kept, let snapshots else { return try progress.pause() }
        try pausing(progress) { isPausing in
          guard isPausing || kept.isDue else { return }
          let sums = snapshots.sumsFile(states.layer)
          let matrix = matrix(collector)
          try matrix.write(gguf: sums, overwrite: true)
          try snapshots.journal.record(snapshots.sumsKey(states.layer), sha256: matrix.digest)
          try kept.write(states, of: windows, by: pass, keeping: [sums])
        }
      })
    return matrix(collector)
  }

  private func matrix(_ collector: ImportanceCollector) -> ImportanceMatrix {
    collector.matrix(datasets: datasets, chunkCount: windows.count, chunkSize: windows.first?.count ?? 0)
  }

  private func resume(_ collector: ImportanceCollector, _ kept: PassSnapshots) throws -> HiddenStates? {
    guard let snapshots, let states = try kept.states(of: pass, windows: windows, observer: collector),
      let digest = snapshots.journal.inherited[snapshots.sumsKey(states.layer)],
      let sums = try? ImportanceMatrix(path: snapshots.sumsFile(states.layer)), sums.digest == digest
    else { return nil }
    collector.resume(from: sums)
    return states
  }
}
