import Files
import GGUF
import Imatrix
import Perplexity
import Tensors
import Transformer

/// Measures the importance of a model over windows of text.
public struct ImportanceMeasurement {
  public let source: any ModelSource
  public let windows: [[Int32]]
  /// Names of the texts.
  public let datasets: [String]
  /// Whether to measure the output head too.
  public var processOutput = false
  /// Whether every expert sees every token.
  public var allExperts = false
  /// States that sections of error feedback begin with; nil to keep none.
  public var keeping: StateKeeping?

  public init(of source: any ModelSource, windows: [[Int32]], datasets: [String]) {
    self.source = source
    self.windows = windows
    self.datasets = datasets
  }

  /// Measures the matrix, and calls `store` before the snapshots of the run are removed.
  ///
  /// - Parameters:
  ///   - output: the file that `store` writes. An unfinished run leaves its journal and snapshots beside it; nil for no
  ///     snapshots.
  ///   - restart: whether to ignore the files of an interrupted run.
  public func matrix(
    in run: FitRun, beside output: String?, restart: Bool, store: (ImportanceMatrix) throws -> Void = { _ in }
  ) throws -> ImportanceMatrix {
    var passes = try self.passes(run, windows: windows.indices)
    func measured() throws -> ImportanceMatrix {
      let matrix = try measure(passes, run.observer) { try $0.run(progress: $1) }
      try store(matrix)
      return matrix
    }
    guard let output else { return try measured() }
    let kept = try KeptRun(
      output: output, identity: try identity(run.version), restart: restart, seconds: run.snapshotSeconds)
    passes.snapshots = ImportanceRun.Snapshots(journal: kept.journal, path: kept.path, seconds: kept.seconds)
    return try kept.keeping(measured)
  }

  /// Measures the exact sums of some of the windows, so that they can be added to those of the others.
  ///
  /// - Parameters:
  ///   - chosen: the indices of the windows.
  ///   - kept: the files of an interrupted run of these windows; nil for no snapshots.
  public func sums(ofWindows chosen: Range<Int>, in run: FitRun, kept: KeptRun?) throws -> ImportanceSums {
    var passes = try self.passes(run, windows: chosen)
    if let kept {
      passes.snapshots = ImportanceRun.Snapshots(journal: kept.journal, path: kept.path, seconds: kept.seconds)
    }
    return try measure(passes, run.observer, exact: true) { try $0.sums(progress: $1) }
  }

  /// Whether the states that a run of some windows keeps are complete.
  public func areStatesKept(ofWindows chosen: Range<Int>, in run: FitRun) throws -> Bool {
    guard let kept = try passes(run, windows: chosen).kept else { return true }
    return kept.states.areKept(kept.keeping, by: try ForwardPass(source: source, options: run.forward))
  }

  private func passes(_ run: FitRun, windows chosen: Range<Int>) throws -> ImportanceRun {
    let pass = try ForwardPass(source: source, options: run.forward)
    var passes = ImportanceRun(pass: pass, windows: Array(windows[chosen]), datasets: datasets)
    passes.output = processOutput
    passes.allExperts = allExperts
    passes.kept = try keeping.map { keeping in
      (
        try KeptStates(folder: keeping.folder, of: source, version: run.version, windows: windows, by: pass),
        KeptStates.Keeping(
          layers: FeedbackRun.starts(ofSections: keeping.sections, layers: pass.decoder.layerCount), windows: chosen,
          origin: keeping.origin)
      )
    }
    return passes
  }

  private func measure<Result>(
    _ passes: ImportanceRun, _ observer: any RunObserver, exact: Bool = false,
    _ run: (ImportanceRun, any RunObserver) throws -> Result
  ) throws -> Result {
    let plan = try passes.plan(exact: exact)
    let stage = FitStage.importance(
      model: source.name, plan: plan, tokens: passes.tokenCount,
      seconds: try passes.pass.estimatedSeconds(plan), keepsLayers: passes.snapshots != nil)
    observer.begin(stage)
    let result = try run(passes, observer)
    observer.end(stage)
    return result
  }

  /// All inputs of the matrix.
  public func identity(_ version: String) throws -> RunIdentity {
    var fields = [
      RunIdentity.Field("source model", try ModelFingerprint(of: source).hex),
      RunIdentity.Field("context size", "\(windows.first?.count ?? 0)"),
      RunIdentity.Field("list of calibration files", datasets.joined(separator: " ")),
      RunIdentity.Field("number of windows", "\(windows.count)"),
      RunIdentity.Field("calibration text", ScoringWindows(windows: windows, scored: 0..<0).digest),
      RunIdentity.Field("choice to measure the output head", "\(processOutput)"),
      RunIdentity.Field("choice to send every token through all experts", "\(allExperts)"),
      RunIdentity.Field("version of qtool", version),
    ]
    if let keeping { fields.append(RunIdentity.Field("number of sections with kept states", "\(keeping.sections)")) }
    return RunIdentity(fields)
  }

  /// The states that a run keeps for the sections of error feedback.
  public struct StateKeeping: Sendable {
    public let folder: String
    public let sections: Int
    public let origin: KeptStates.Origin

    public init(folder: String, sections: Int, origin: KeptStates.Origin) {
      (self.folder, self.sections, self.origin) = (folder, sections, origin)
    }

    /// Bytes of the states of some windows.
    public func bytes(windows: [[Int32]], of source: any ModelSource) throws -> (layers: Int, each: Int) {
      let decoder = try Decoder(source)
      return (
        FeedbackRun.starts(ofSections: sections, layers: decoder.layerCount).count,
        KeptStates.bytes(windows: windows, of: decoder)
      )
    }
  }
}
