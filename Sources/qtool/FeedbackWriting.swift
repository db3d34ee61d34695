import Files
import Fit
import GGUF
import Imatrix
import Quantize
import Tensors
import Transformer

/// A run with error feedback, with its plan, progress and report in words.
struct FeedbackWriting {
  private(set) var run: FeedbackRun
  private let input: FitFeedback
  private let share: PartOptions.Choice?
  let progress: Progress

  /// Prints the plan of the pass. nil if no tensor gets a type that takes feedback.
  ///
  /// - Parameters:
  ///   - savesImportance: whether the pass measures the importance of all matrices.
  ///   - states: the folder of states with which a part begins; nil to compute them.
  ///   - share: the part to write, or the parts to join; nil for the whole file.
  init?(
    _ plan: RewritePlan, feedback input: FitFeedback, importance: ImportanceMatrix?, savesImportance: Bool,
    states: String?, share: PartOptions.Choice?, forward: ForwardOptions, _ progress: Progress
  ) throws {
    (self.input, self.share, self.progress) = (input, share, progress)
    run = try FeedbackRun(plan, windows: input.windows.windows, forward: forward)
    run.effort = input.effort
    run.importance = importance?.lookup
    run.wants = { input.tensors.contains($0.name) }
    run.dataset = savesImportance ? input.names : nil
    run.sections = input.sections
    guard run.hasWork else {
      progress.note("note: no tensor gets a type that takes error feedback: written without")
      return nil
    }
    if case .join = share { return }
    if let states { try begin(with: states) }
    let work = try run.work()
    run.expectedWork = work
    var part: RunPart?
    if case .one(let one) = share { part = one }
    progress.note(
      "error feedback: effort \(input.effort.rawValue), by \(firstNames(of: input.names))\n"
        + (try run.share(of: part, in: work)).table)
    for (columns, block) in run.blocks.cuts {
      progress.note(
        "note: --memory holds no Gram matrix of \(Figures.grouped(columns)) columns: blocks of \(Figures.grouped(block)) on "
          + "its diagonal take its place")
    }
  }

  /// Checks the kept states before any work.
  private mutating func begin(with states: String) throws {
    guard case .one(let part) = share else {
      throw Failure(
        .usage, "--states: a run of the whole begins with the embedding", hint: "leave it out, or name a --part")
    }
    try run.take(statesOf: states, version: QTool.version)
    guard let layer = try run.keptStart(of: part) else { return }
    let bytes = KeptStates.bytes(windows: run.windows, of: run.decoder)
    progress.note("part \(part): begins with \(Figures.bytes(bytes)) of states before layer \(layer), in \(states)")
  }

  /// Writes the model and reports progress. A repeated run continues an interrupted one.
  ///
  /// - Parameter keepsJournal: whether the journal remains, for the caller to remove when all files of the run are complete.
  func write(
    to output: OutputOptions, importance: ImportanceMatrix?, checksums: Bool, keepsJournal: Bool,
    _ removal: SourceRemoval? = nil
  ) throws -> FeedbackReport {
    let options = try options(output, importance, checksums: checksums, keepsJournal: keepsJournal, removal)
    // In thousandths of the work: bytes are written unevenly.
    progress.start("writing \(output.output)", total: 1000, unit: .percent)
    let report = try run.write(
      to: output.output, options: options,
      progress: StageObserver(progress: progress, total: 1000, stopsInPauses: true))
    progress.finish("writing \(output.output): \(Figures.bytes(run.plan.totalBytes))")
    note(report)
    return report
  }

  /// The options of a file that is written or continued, with all that decides its bytes.
  func options(
    _ output: OutputOptions, _ importance: ImportanceMatrix?, checksums: Bool, keepsJournal: Bool,
    _ removal: SourceRemoval?
  ) throws -> RewriteOptions {
    let plan = run.plan
    var options = RewriteOptions(overwrite: output.force)
    options.restart = output.restart
    options.checksums = checksums
    options.keepsJournal = keepsJournal
    options.removal = removal
    options.parts = share.map(RewriteParts.init)
    let widths = run.blocks.widths.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: " ")
    options.identity = RunIdentity([
      RunIdentity.Field("source model", try ModelFingerprint(of: plan.source).hex),
      RunIdentity.Field("importance matrix", importance?.digest ?? "none"),
      RunIdentity.Field("text of error feedback", input.windows.digest),
      RunIdentity.Field("--effort", "\(input.effort.rawValue)"),
      RunIdentity.Field("--feedback-sections", "\(input.sections)"),
      // It contains the metadata, which name the text and the effort.
      RunIdentity.Field("recipe or metadata", plan.digest),
      RunIdentity.Field("blocks of Gram matrices, which --memory decides", widths),
      RunIdentity.Field("version of qtool", QTool.version),
    ])
    return options
  }

  /// Notes the inputs for which the text was short, and what was resumed.
  func note(_ report: FeedbackReport) {
    progress.note(report)
    progress.note(report.rewrite, of: run.plan)
  }
}

extension FeedbackWork {
  /// The reading, memory and time of the pass, beside those of a run without.
  fileprivate var table: String {
    var table = Table([("", .left), ("reads", .left), ("memory", .right), ("estimated time", .right)])
    let text = "\(Figures.grouped(tokens)) tokens" + (streams > 1 ? " in \(streams) streams" : "")
    table.add([
      "with feedback", "\(text), \(Figures.bytes(encoderBytes)) of weights twice",
      "up to " + Figures.bytes(residentBytes), Figures.duration(seconds),
    ])
    table.add([
      "--no-feedback", "\(Figures.bytes(encoderBytes)) of weights", "up to " + Figures.bytes(residentBytesWithout),
      Figures.duration(secondsWithout),
    ])
    return table.rendered()
  }
}

extension Progress {
  /// Notes the inputs for which the text was short.
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
