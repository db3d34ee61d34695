import Files
import Tensors
import Transformer

/// Computes an importance matrix, with snapshots from which an interrupted run continues.
///
/// A snapshot is two files: the sums of all finished layers, which are a valid importance matrix, and the hidden states
/// after the last of them. A resumed run gives the same bits as an uninterrupted one.
public struct ImportanceRun {
  /// The forward pass.
  public let pass: ForwardPass
  let windows: [[Int32]]
  let datasets: [String]
  /// Whether to collect for the output head too.
  public var output = false
  /// Whether every expert processes every token.
  public var allExperts = false
  /// The settings for snapshots; nil for none.
  public var snapshots: Snapshots?

  /// Where and how often snapshots are written.
  public struct Snapshots {
    /// The journal that records complete snapshots and the digests of their sums.
    let journal: RunJournal
    /// The prefix of the files' paths.
    let path: String
    /// The minimum time between snapshots.
    let seconds: Double

    /// - Parameters:
    ///   - journal: records complete snapshots.
    ///   - path: the prefix of the files' paths.
    ///   - seconds: the minimum time between snapshots.
    public init(journal: RunJournal, path: String, seconds: Double) {
      self.journal = journal
      self.path = path
      self.seconds = seconds
    }

    fileprivate func sumsKey(_ layer: Int) -> String { "sums, layer \(layer)" }
    fileprivate func sumsFile(_ layer: Int) -> String { "\(path)-\(layer).sums.gguf" }
  }

  /// - Parameters:
  ///   - windows: token ids, all windows of one length.
  ///   - datasets: the names of the texts.
  public init(pass: ForwardPass, windows: [[Int32]], datasets: [String]) {
    self.pass = pass
    self.windows = windows
    self.datasets = datasets
  }

  private var collector: ImportanceCollector { ImportanceCollector(output: output, allExperts: allExperts) }

  /// The memory and work of the run.
  public func plan() throws -> ForwardPlan {
    try pass.plan(windows: windows.count, length: windows.first?.count ?? 0, observer: collector)
  }

  /// Computes the matrix. The caller removes the snapshots after storing it.
  ///
  /// - Parameter progress: is told of every product and every layer; its steps are layers. A pause is possible after
  ///   every layer except the last, and leaves a snapshot.
  /// - Throws: `Paused`, ``ForwardError``, and what reading and writing throw.
  public func run(progress: any RunObserver = NoObserver()) throws -> ImportanceMatrix {
    let collector = collector
    let passSnapshots = snapshots.map { PassSnapshots($0.journal, path: $0.path, seconds: $0.seconds) }
    let resumed = try passSnapshots.flatMap { try resume(collector, $0) }
    _ = try pass.run(
      windows: windows, scored: 0..<0, observer: collector, resuming: resumed,
      progress: progress,
      snapshot: { states in
        guard let passSnapshots, let snapshots else { return try progress.pause() }
        try pausing(progress) { isPausing in
          guard isPausing || passSnapshots.isDue else { return }
          let sums = snapshots.sumsFile(states.layer)
          let matrix = matrix(collector)
          try matrix.write(gguf: sums, overwrite: true)
          try snapshots.journal.record(snapshots.sumsKey(states.layer), sha256: matrix.digest)
          try passSnapshots.write(states, of: windows, by: pass, keeping: [sums])
        }
      })
    return matrix(collector)
  }

  private func matrix(_ collector: ImportanceCollector) -> ImportanceMatrix {
    collector.matrix(datasets: datasets, chunkCount: windows.count, chunkSize: windows.first?.count ?? 0)
  }

  private func resume(_ collector: ImportanceCollector, _ passSnapshots: PassSnapshots) throws -> HiddenStates? {
    guard let snapshots, let states = try passSnapshots.states(of: pass, windows: windows, observer: collector),
      let digest = snapshots.journal.inherited[snapshots.sumsKey(states.layer)],
      let sums = try? ImportanceMatrix(path: snapshots.sumsFile(states.layer)), sums.digest == digest
    else { return nil }
    collector.resume(from: sums)
    return states
  }
}
