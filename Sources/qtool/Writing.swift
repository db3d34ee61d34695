import Files
import GGUF
import Imatrix
import Quantize

/// Rewrites a model while telling how far it is. An interrupted run goes on when it is started again.
func write(
  _ plan: RewritePlan, importance: ImportanceMatrix?, to output: OutputOptions, checksums: Bool, _ progress: Progress
) throws -> RewriteReport {
  var options = RewriteOptions(overwrite: output.force)
  options.restart = output.restart
  options.checksums = checksums
  options.identity = RunIdentity(
    version: QTool.version, source: try ModelFingerprint(of: plan.source).hex,
    importance: importance?.digest ?? "none", recipe: plan.shards.digest)
  progress.start("writing \(output.output)", total: plan.totalBytes, unit: .bytes)
  let report = try Rewriter(plan, importance: importance?.lookup).write(
    to: output.output, options: options,
    progress: StageObserver(progress: progress, total: plan.totalBytes, stopsInPauses: true))
  progress.finish()
  if report.resumedTensors > 0 {
    progress.note("went on from an interrupted run: \(report.resumedTensors) tensors were there and are unharmed")
  }
  for (tensor, count) in report.replacedImportance.sorted(by: { $0.key < $1.key }) {
    progress.note("warning: tensor \(tensor): \(count) columns without importance count as the mean")
  }
  if let finite = plan.source as? FiniteModel {
    for (tensor, count) in finite.replaced.sorted(by: { $0.key < $1.key }) {
      progress.note("warning: tensor \(tensor): \(count) weights that were NaN or infinite are written as 0")
    }
  }
  if !report.withoutImportance.isEmpty {
    let names = report.withoutImportance
    progress.note(
      "note: no importance for \(names.count) of the tensors that were quantized: \(firstNames(of: names))")
  }
  return report
}
