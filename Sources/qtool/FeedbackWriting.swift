import Files
import Fit
import GGUF
import Imatrix
import Quantize
import Transformer

/// Writes a model with error feedback while telling how far it is. An interrupted run goes on when it is started again.
func write(
  _ plan: RewritePlan, feedback input: FeedbackInput, importance: ImportanceMatrix?, _ weighing: WeighingOptions,
  to output: OutputOptions, checksums: Bool, forward: ForwardOptions, _ progress: Progress
) throws -> RewriteReport {
  var run = try FeedbackRun(plan, windows: input.windows.windows, forward: forward)
  run.effort = input.effort
  run.importance = importance?.lookup
  run.wants = { weighing.concerns($0.name) }
  guard run.hasWork else {
    progress.note("note: no tensor gets a type that takes error feedback: written without")
    return try write(plan, importance: importance, to: output, checksums: checksums, progress)
  }
  var options = RewriteOptions(overwrite: output.force)
  options.restart = output.restart
  options.checksums = checksums
  let widths = run.blocks.widths.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: " ")
  options.identity = RunIdentity([
    RunIdentity.Field("source model", try ModelFingerprint(of: plan.source).hex),
    RunIdentity.Field("importance matrix", importance?.digest ?? "none"),
    RunIdentity.Field("recipe", plan.digest), RunIdentity.Field("error feedback", input.windows.digest),
    RunIdentity.Field("--effort", "\(input.effort.rawValue)"),
    RunIdentity.Field("blocks of Gram matrices, which --memory decides", widths),
    RunIdentity.Field("version of qtool", QTool.version),
  ])
  progress.note(
    "error feedback: \(Figures.grouped(input.windows.windows.count * input.windows.context)) tokens, effort "
      + "\(input.effort.rawValue), at most \(Figures.bytes(run.blocks.bytes)) for Gram matrices")
  for (columns, block) in run.blocks.cuts {
    progress.note(
      "note: --memory holds no Gram matrix of \(Figures.grouped(columns)) columns: blocks of \(Figures.grouped(block)) on its "
        + "diagonal take its place")
  }
  progress.start("writing \(output.output)", total: plan.totalBytes, unit: .bytes)
  let report = try run.write(
    to: output.output, options: options,
    progress: StageObserver(progress: progress, total: plan.totalBytes, stopsInPauses: true))
  progress.finish()
  progress.note(report)
  progress.note(report.rewrite, of: plan)
  return report.rewrite
}

extension Progress {
  /// Where the text was short.
  fileprivate func note(_ report: FeedbackReport) {
    for short in report.short {
      note(
        "warning: \(short.tensor): the calibration text has \(Figures.grouped(short.tokens)) tokens for "
          + "\(Figures.grouped(short.columns)) columns; correlations between columns are "
          + "reduced, and nothing is corrected for earlier layers")
    }
    if report.shortExperts > 0 {
      note(
        "warning: \(Figures.grouped(report.shortExperts)) inputs of experts have fewer tokens than a quarter of their "
          + "columns; correlations between columns are drawn towards the layer's, or reduced")
    }
    if report.unseenExperts > 0 {
      note("warning: \(Figures.grouped(report.unseenExperts)) matrices of experts saw no token of the calibration text")
    }
  }
}
