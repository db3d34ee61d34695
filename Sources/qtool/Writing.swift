import Files
import GGUF
import Imatrix
import Quantize
import Tensors

/// Writes a model and reports the progress. Starting an interrupted run again continues it.
func write(
  _ plan: RewritePlan, importance: ImportanceMatrix?, to output: OutputOptions, checksums: Bool,
  parts: PartOptions.Choice? = nil, _ progress: Progress
) throws -> RewriteReport {
  try write([(plan, importance, output)], checksums: checksums, parts: parts, nil, progress)[0]
}

/// Writes several files of a model in one reading and reports the progress.
///
/// - Parameter keepsJournals: whether the caller removes the journals, when further files are complete too.
@discardableResult
func write(
  _ files: [(plan: RewritePlan, importance: ImportanceMatrix?, output: OutputOptions)], checksums: Bool,
  keepsJournals: Bool = false, parts: PartOptions.Choice? = nil, _ removal: SourceRemoval? = nil,
  _ progress: Progress
) throws -> [RewriteReport] {
  // Forms of one model differ in the types of floats.
  var fingerprints: [[GGMLType]: String] = [:]
  let members = try files.map { plan, importance, output in
    let types = plan.source.tensors.map(\.type)
    let source = try fingerprints[types] ?? ModelFingerprint(of: plan.source).hex
    fingerprints[types] = source
    var options = RewriteOptions(overwrite: output.force)
    options.restart = output.restart
    options.checksums = checksums
    options.keepsJournal = keepsJournals
    options.removal = removal
    options.parts = parts.map(RewriteParts.init)
    options.identity = RunIdentity(
      version: QTool.version, source: source, importance: importance?.digest ?? "none", recipe: plan.digest)
    return RewriteGroup.Member(
      plan, path: output.output, options: options, importance: importance?.lookup,
      importanceKey: importance?.digest ?? "")
  }
  let total = files.reduce(0) { $0 + $1.plan.totalBytes }
  let name = files.count == 1 ? files[0].output.output : "\(files.count) files"
  progress.start("writing \(name)", total: total, unit: .bytes)
  let reports = try RewriteGroup(members).write(
    progress: StageObserver(progress: progress, total: total, stopsInPauses: true))
  progress.finish()
  for (report, file) in zip(reports, files) { progress.note(report, of: file.plan) }
  return reports
}

extension RewriteParts {
  init(_ choice: PartOptions.Choice) {
    switch choice {
    case .one(let part): self = .one(part, arguments: PartOptions.arguments)
    case .join(let count): self = .join(count: count)
    }
  }
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
