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
  /// Hidden states that are kept for other runs; nil for none.
  public var kept: (states: KeptStates, keeping: KeptStates.Keeping)?

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

  /// The tokens of all windows.
  public var tokenCount: Int { windows.reduce(0) { $0 + $1.count } }

  private func collector(exact: Bool) -> ImportanceCollector {
    ImportanceCollector(output: output, allExperts: allExperts, exact: exact)
  }

  /// The memory and work of the run.
  ///
  /// - Parameter exact: whether the run computes ``sums(progress:)``.
  public func plan(exact: Bool = false) throws -> ForwardPlan {
    try pass.plan(windows: windows.count, length: windows.first?.count ?? 0, observer: collector(exact: exact))
  }

  /// Computes the matrix. The caller removes the snapshots after storing it.
  ///
  /// - Parameter progress: is told of every product and every layer; its steps are layers. A pause is possible after
  ///   every layer except the last, and leaves a snapshot.
  /// - Throws: `Paused`, ``ForwardError``, and what reading and writing throw.
  public func run(progress: any RunObserver = NoObserver()) throws -> ImportanceMatrix {
    let collector = collector(exact: false)
    try run(collector, progress) { path in
      let matrix = matrix(collector)
      try matrix.write(gguf: path, overwrite: true)
    } resume: { path in
      collector.resume(from: try ImportanceMatrix(path: path))
    }
    return matrix(collector)
  }

  /// Computes the sums of the matrix exactly, so that they can be added to those of other windows. Otherwise like
  /// ``run(progress:)``.
  public func sums(progress: any RunObserver = NoObserver()) throws -> ImportanceSums {
    let collector = collector(exact: true)
    try run(collector, progress) { path in
      try collector.sums.write(to: path, overwrite: true)
    } resume: { path in
      collector.resume(from: try ImportanceSums(path: path))
    }
    return collector.sums
  }

  private func run(
    _ collector: ImportanceCollector, _ progress: any RunObserver, store: (_ path: String) throws -> Void,
    resume: (_ path: String) throws -> Void
  ) throws {
    if let kept { try kept.states.prepare(kept.keeping, by: pass) }
    let passSnapshots = snapshots.map { PassSnapshots($0.journal, path: $0.path, seconds: $0.seconds) }
    let resumed = try passSnapshots.flatMap { try earlierStates(collector, $0, resume) }
    _ = try pass.run(
      windows: windows, scored: 0..<0, observer: collector, resuming: resumed,
      progress: progress,
      snapshot: { states in
        if let kept, kept.keeping.layers.contains(states.layer) {
          try kept.states.write(states, of: kept.keeping, by: pass)
        }
        guard let passSnapshots, let snapshots else { return try progress.pause() }
        try pausing(progress) { isPausing in
          guard isPausing || passSnapshots.isDue else { return }
          let sums = snapshots.sumsFile(states.layer)
          try store(sums)
          try snapshots.journal.record(snapshots.sumsKey(states.layer), sha256: try DataDigest.ofFile(sums))
          try passSnapshots.write(states, of: windows, by: pass, keeping: [sums])
        }
      })
  }

  /// Whether the states to keep before a layer and the layers before it are written.
  private func areKept(before layer: Int) -> Bool {
    guard let kept else { return true }
    return kept.states.areKept(kept.keeping, before: layer, by: pass)
  }

  private func matrix(_ collector: ImportanceCollector) -> ImportanceMatrix {
    collector.matrix(datasets: datasets, chunkCount: windows.count, chunkSize: windows.first?.count ?? 0)
  }

  private func earlierStates(
    _ collector: ImportanceCollector, _ passSnapshots: PassSnapshots, _ resume: (_ path: String) throws -> Void
  ) throws -> HiddenStates? {
    guard let snapshots, let states = try passSnapshots.states(of: pass, windows: windows, observer: collector),
      let digest = snapshots.journal.inherited[snapshots.sumsKey(states.layer)],
      // Kept states that were removed since are written again.
      areKept(before: states.layer)
    else { return nil }
    let path = snapshots.sumsFile(states.layer)
    guard (try? DataDigest.ofFile(path)) == digest, (try? resume(path)) != nil else { return nil }
    return states
  }
}
