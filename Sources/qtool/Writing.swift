import Files
import GGUF
import Imatrix
import Quantize

/// Writes a model and reports the progress. Starting an interrupted run again continues it.
func write(
  _ plan: RewritePlan, importance: ImportanceMatrix?, to output: OutputOptions, checksums: Bool, _ progress: Progress
) throws -> RewriteReport {
  var options = RewriteOptions(overwrite: output.force)
  options.restart = output.restart
  options.checksums = checksums
  options.identity = RunIdentity(
    version: QTool.version, source: try ModelFingerprint(of: plan.source).hex,
    importance: importance?.digest ?? "none", recipe: plan.digest)
  progress.start("writing \(output.output)", total: plan.totalBytes, unit: .bytes)
  let report = try Rewriter(plan, importance: importance?.lookup).write(
    to: output.output, options: options,
    progress: StageObserver(progress: progress, total: plan.totalBytes, stopsInPauses: true))
  progress.finish()
  progress.note(report, of: plan)
  return report
}

extension Progress {
  /// Notes about resumed tensors, importance and replaced weights.
  func note(_ report: RewriteReport, of plan: RewritePlan) {
    if report.resumedTensors > 0 {
      note("resumed: \(report.resumedTensors) tensors were already written, and their checksums match")
    }
    for (tensor, count) in report.replacedImportance.sorted(by: { $0.key < $1.key }) {
      note("warning: tensor \(tensor): \(count) columns without importance get the mean of the others")
    }
    if let finite = plan.source as? FiniteModel {
      for (tensor, count) in finite.replaced.sorted(by: { $0.key < $1.key }) {
        note("warning: tensor \(tensor): \(count) weights that were NaN or infinite are written as 0")
      }
    }
    if !report.withoutImportance.isEmpty {
      let names = report.withoutImportance
      note(
        "note: \(names.count) tensors were quantized without importance: \(firstNames(of: names))")
    }
  }
}
