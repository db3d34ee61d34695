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
    var passes = try self.passes(run, windows: windows)
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
    var passes = try self.passes(run, windows: Array(windows[chosen]))
    if let kept {
      passes.snapshots = ImportanceRun.Snapshots(journal: kept.journal, path: kept.path, seconds: kept.seconds)
    }
    return try measure(passes, run.observer, exact: true) { try $0.sums(progress: $1) }
  }

  private func passes(_ run: FitRun, windows: [[Int32]]) throws -> ImportanceRun {
    var passes = ImportanceRun(
      pass: try ForwardPass(source: source, options: run.forward), windows: windows, datasets: datasets)
    passes.output = processOutput
    passes.allExperts = allExperts
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
    RunIdentity([
      RunIdentity.Field("source model", try ModelFingerprint(of: source).hex),
      RunIdentity.Field("context size", "\(windows.first?.count ?? 0)"),
      RunIdentity.Field("list of calibration files", datasets.joined(separator: " ")),
      RunIdentity.Field("number of windows", "\(windows.count)"),
      RunIdentity.Field("calibration text", ScoringWindows(windows: windows, scored: 0..<0).digest),
      RunIdentity.Field("choice to measure the output head", "\(processOutput)"),
      RunIdentity.Field("choice to send every token through all experts", "\(allExperts)"),
      RunIdentity.Field("version of qtool", version),
    ])
  }
}
