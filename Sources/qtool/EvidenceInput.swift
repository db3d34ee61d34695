import ArgumentParser
import Fit
import GGUF
import Imatrix

/// Options for evidence from other models or published tables.
struct EvidenceOptions: ParsableArguments {
  @Option(
    name: .customLong("import"),
    help: ArgumentHelp(
      "A published table: kld_results.csv of GGUF-Tool-Suite, or tensor,type,kld. Measures nothing unless --budget is given.",
      valueName: "file"), completion: .file())
  var imported: String?
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Another model's sensitivities, carried over by class and depth. Measures nothing unless --budget is given.",
      valueName: "file"), completion: .file())
  var sibling: String?
  @Flag(name: .long, help: "Use what fits of --import or --sibling, and say what does not.") var lenient = false

  var files: [String] { [imported, sibling].compactMap { $0 } }

  func validate() throws {
    if files.count > 1 { throw ValidationError("give one of --import and --sibling") }
    if lenient, files.isEmpty { throw ValidationError("--lenient goes with --import or --sibling") }
  }

  /// The given evidence joined with the prior, as a table; nil if none is given.
  func table(for source: any ModelSource, _ matrix: ImportanceMatrix?, in run: FitRun, _ progress: Progress) throws
    -> SensitivityTable?
  {
    guard let path = files.first else { return nil }
    let file = String(path.split(separator: "/").last ?? "")
    let published = try imported.map { try PublishedTable(path: $0) }
    let other = try sibling.map { try SensitivityTable(path: $0) }
    let base = try PriorSensitivities(of: source, matrix: matrix, in: run).table()
    let evidence: ImportedEvidence
    if let published {
      evidence = ImportedEvidence(published, joinedWith: base)
      try evidence.checkThatSomethingFits(file: file)
      if !lenient { try evidence.check(published, file: file) }
      note(published, file, progress)
    } else if let other {
      evidence = ImportedEvidence(sibling: other, joinedWith: base)
      try evidence.checkThatSomethingFits(file: file)
      if !lenient { try evidence.checkClasses(file: file) }
    } else {
      return nil
    }
    let fit = evidence.fit
    for (type, floor) in fit.floors.sorted(by: { $0.key < $1.key }) {
      progress.note(
        "note: \(file): \(Figures.significant(floor, 3)) is common to all measurements in \(type), and subtracted: "
          + "the divergence of the file around the tensor")
    }
    if !fit.leftOver.isEmpty {
      progress.note(
        "note: \(file): \(fit.leftOver.count) of \(fit.count) names are not used: \(firstNames(of: fit.leftOver))")
    }
    if !fit.missing.isEmpty {
      progress.note(
        "note: \(file) says nothing about \(fit.missing.count) of \(base.entries.count) tensors, which go by the prior: "
          + firstNames(of: fit.missing))
    }
    return evidence.table
  }

  private func note(_ table: PublishedTable, _ file: String, _ progress: Progress) {
    for (name, type) in table.replaced.sorted(by: { $0.key < $1.key }) {
      progress.note("note: \(file): \(name) counts as \(type), which is nearest in bits")
    }
    if !table.unknownTypes.isEmpty {
      progress.note(
        "note: \(file): rows of types that are like none here are left out: \(firstNames(of: table.unknownTypes))")
    }
    if table.failures > 0 { progress.note("note: \(file): \(table.failures) failed measurements are left out") }
    if let first = table.unusable.first {
      let values = table.unusable.count == 1 ? "a value" : "\(table.unusable.count) values"
      progress.note("warning: \(file): left out \(values) that can't be a divergence: \(first)")
    }
  }
}
