import Fit
import Imatrix
import Quantize
import Tensors

/// The passes of a run that makes several files with error feedback: files that can share one do.
struct FeedbackPasses {
  /// A file with its output.
  struct File {
    /// Its index among the files of the run.
    let index: Int
    let writing: FeedbackWriting
    let output: OutputOptions
    let importance: ImportanceMatrix?
  }

  /// The files of each pass.
  private(set) var passes: [[File]] = []

  init(_ files: [File]) throws {
    for file in files {
      let index = try passes.firstIndex { pass in
        try FeedbackGroup.canShare(pass[0].writing.run, file.writing.run)
          && pass.count < FeedbackGroup.maximumCount(pass[0].writing.run)
      }
      if let index { passes[index].append(file) } else { passes.append([file]) }
    }
  }

  /// The number of files and passes; nil for at most one file.
  var note: String? {
    let count = passes.reduce(0) { $0 + $1.count }
    guard count > 1 else { return nil }
    let largest = passes.map(\.count).max() ?? 1
    return
      "note: \(count) files have error feedback, in \(passes.count == 1 ? "one pass" : "\(passes.count) passes") of the text"
      + (passes.count > 1 ? ", of at most \(largest) \(largest == 1 ? "file" : "files")" : "")
  }

  /// Writes the files of a pass and reports progress. A repeated run continues an interrupted one.
  ///
  /// - Parameter keepsJournals: whether the journals remain, for the caller to remove when all files are complete.
  static func write(
    _ files: [File], checksums: Bool, keepsJournals: Bool, _ removal: SourceRemoval?
  ) throws -> [FeedbackReport] {
    if files.count == 1, let file = files.first {
      return [
        try file.writing.write(
          to: file.output, importance: file.importance, checksums: checksums, keepsJournal: keepsJournals, removal)
      ]
    }
    let members = try files.map { file in
      FeedbackGroup.Member(
        file.writing.run, path: file.output.output,
        options: try file.writing.options(
          file.output, file.importance, checksums: checksums, keepsJournal: keepsJournals, removal),
        importanceKey: file.importance?.digest ?? "")
    }
    let progress = files[0].writing.progress
    // In thousandths of the work: bytes are written unevenly.
    progress.start("writing \(files.count) files", total: 1000, unit: .percent)
    let reports = try FeedbackGroup(members).write(
      progress: StageObserver(progress: progress, total: 1000, stopsInPauses: true))
    let bytes = files.reduce(0) { $0 + $1.writing.run.plan.totalBytes }
    progress.finish("writing \(files.count) files: \(Figures.bytes(bytes))")
    for (report, file) in zip(reports, files) { file.writing.note(report) }
    return reports
  }
}
