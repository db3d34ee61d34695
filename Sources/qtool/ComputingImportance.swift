import Files
import GGUF
import Imatrix
import Perplexity
import Tensors
import Transformer

/// Runs calibration text through a model and sums what goes into its matrices.
///
/// - Parameters:
///   - output: the file that `store` writes, beside which an unfinished run leaves its journal and snapshots; nil to keep
///     nothing.
///   - store: called with the matrix, before the snapshots go.
func computeImportance(
  of source: any ModelSource, _ text: Calibration, _ windows: [[Int32]], processOutput: Bool = false,
  allExperts: Bool = false, _ options: RunOptions, _ progress: Progress, beside output: String?,
  _ journal: JournalOptions, store: (ImportanceMatrix) throws -> Void
) throws {
  var run = ImportanceRun(
    pass: try ForwardPass(source: source, options: options.forward), windows: windows, datasets: text.names)
  run.output = processOutput
  run.allExperts = allExperts
  guard let output else { return try store(try run.run(of: source, progress)) }
  let kept = try KeptRun(output: output, identity: try run.identity(source), journal)
  run.snapshots = ImportanceRun.Snapshots(journal: kept.journal, path: kept.path, seconds: kept.seconds)
  try kept.keeping { try store(try run.run(of: source, progress)) }
}

/// The importance of a model, from what is measured already or computed: kept in `files` where there are any.
func importance(
  of source: any ModelSource, _ text: Calibration, _ windows: ScoringWindows, _ options: RunOptions,
  _ progress: Progress, _ files: MeasuredFiles?
) throws -> ImportanceMatrix {
  func compute(_ path: String?, _ store: (ImportanceMatrix) throws -> Void) throws {
    try computeImportance(
      of: source, text, windows.windows, options, progress, beside: path,
      JournalOptions(restart: files?.restart ?? false),
      store: store)
  }
  if let files { return try files.importance(of: source, windows, progress, compute: compute) }
  var result: ImportanceMatrix?
  try compute(nil) { result = $0 }
  guard let result else { preconditionFailure("no importance was computed") }
  return result
}

extension ImportanceRun {
  /// What the matrix depends on.
  fileprivate func identity(_ source: any ModelSource) throws -> RunIdentity {
    RunIdentity([
      RunIdentity.Field("source model", try ModelFingerprint(of: source).hex),
      RunIdentity.Field("context size", "\(windows.first?.count ?? 0)"),
      RunIdentity.Field("list of calibration files", datasets.joined(separator: " ")),
      RunIdentity.Field("number of windows", "\(windows.count)"),
      RunIdentity.Field("calibration text", ScoringWindows(windows: windows, scored: 0..<0).digest),
      RunIdentity.Field("--process-output", "\(output)"), RunIdentity.Field("--all-experts", "\(allExperts)"),
      RunIdentity.Field("version of qtool", QTool.version),
    ])
  }

  /// Runs with the plan told before and the progress meanwhile.
  fileprivate func run(of source: any ModelSource, _ progress: Progress) throws -> ImportanceMatrix {
    let plan = try plan()
    progress.note(plan.summary(of: source.name, seconds: try pass.estimatedSeconds(plan)))
    let stage = ForwardStage(
      source, tokens: windows.reduce(0) { $0 + $1.count }, "importance", progress, finishesLayers: snapshots != nil)
    let matrix = try run(progress: stage.layer, working: stage.working, pause: { try Interruption.check() })
    progress.finish()
    return matrix
  }
}
