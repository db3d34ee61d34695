import ArgumentParser
import Checkpoint
import Files
import Fit
import Foundation
import GGUF
import Imatrix
import Perplexity
import Tensors
import Tokenizers
import Transformer

struct ImatrixCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "imatrix",
    abstract: "Measure, merge or show importance matrices.",
    discussion: """
      Sums the squared activations of every input column of every weight matrix. The output is llama.cpp's GGUF format, \
      or its older one if the name ends in .dat. All text goes through a layer before the next is read: each weight is \
      read once, and the model may be larger than memory.

        qtool imatrix Qwen2.5-7B -o Qwen2.5-7B.imatrix.gguf
        qtool imatrix model.gguf --calibration chats.jsonl code.txt \\
          --mix chats=2 code=1 -o model.imatrix.gguf
        qtool imatrix --merge a.imatrix.gguf b.dat -o both.imatrix.gguf
        qtool imatrix --show-statistics model.imatrix.gguf

      With --keep-states, parts of `qtool quantize --feedback` begin with the hidden states that this run leaves, and the \
      text is cut into windows as quantize cuts it.
      """)

  @Argument(help: "A Hugging Face directory or a GGUF file.", completion: .file()) var model: String?
  @OptionGroup(title: "Text") var text: CalibrationOptions
  @Flag(name: .long, help: "Measure the output matrix too.") var processOutput = false
  @Flag(name: .long, help: "Measure every expert on every token.") var allExperts = false
  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp("Importance matrices to add, together with the model's if one is given.", valueName: "file"),
    completion: .file())
  var merge: [String] = []
  @Option(
    name: .long, help: ArgumentHelp("Print statistics of an importance matrix.", valueName: "file"),
    completion: .file())
  var showStatistics: String?
  @OptionGroup(title: "States") var stateOptions: StateOptions
  @Option(
    name: [.short, .long], help: ArgumentHelp("The file to write (.gguf or .dat).", valueName: "file"),
    completion: .file())
  var output: String?
  @Flag(name: .long, help: "Replace an existing file.") var force = false
  @OptionGroup var journal: JournalOptions
  @OptionGroup(title: "Parts") var parts: PartOptions
  @OptionGroup(title: "Checkpoint") var splitter: SplitterOptions
  @OptionGroup(title: "Run") var options: RunOptions

  func validate() throws {
    if showStatistics != nil {
      guard model == nil, merge.isEmpty, output == nil else {
        throw ValidationError("--show-statistics can't be combined with a model, --merge or --output")
      }
      return
    }
    guard model != nil || !merge.isEmpty else { throw ValidationError("name a model, or files to --merge") }
    guard model != nil || splitter.config.ignored.isEmpty else {
      throw ValidationError("--ignore-config needs a model")
    }
    if stateOptions.keepStates != nil {
      guard model != nil else { throw ValidationError("--keep-states needs a model") }
      if let option = text.options.first {
        throw ValidationError("--keep-states contradicts \(option): the text is cut as quantize cuts it")
      }
    }
    guard output != nil else { throw ValidationError("name the file to write with -o") }
  }

  func run() throws {
    if let showStatistics {
      print(try ImportanceMatrix(path: showStatistics).statisticsTable())
      return
    }
    guard let output else { preconditionFailure("validated") }
    let progress = options.apply()
    try OutputOptions(output: output, force: force).check(
      inputs: merge + text.calibration + (model.map { [$0] } ?? []))
    guard let model else {
      let matrices = try merge.map { path in
        let matrix = try ImportanceMatrix(path: path)
        matrix.noteUnread(named: path, progress)
        return matrix.expanded(chunkSize: text.ctx)
      }
      if let index = ImportanceMatrix.indexOfUnrelated(matrices) {
        let first = matrices[index].names.first ?? ""
        throw Failure(
          .data, "\(merge[index]): has no tensor in common with the other importance matrices ('\(first)', ...)",
          hint: "merge only files that were made from one model")
      }
      let partial = ImportanceMatrix.names(missingFromSome: matrices)
      if !partial.isEmpty {
        progress.note("note: \(partial.count) tensors are not in all files: \(firstNames(of: partial))")
      }
      return try write(matrices, to: output)
    }
    let source = try splitter.open(model, progress)
    let merged = try merge.map { try ImportanceMatrix(path: $0, for: source, progress) }
    let calibration = try text.calibration(for: source)
    progress.noteOnce(calibration.notes)
    let windows =
      stateOptions.keepStates == nil
      ? try text.windows(calibration, try Tokenizer(metadata: source.metadata))
      : try FeedbackOptions.windows(of: calibration, for: source).windows
    // Windows of states have the length that error feedback gives them.
    let context = stateOptions.keepStates == nil ? text.ctx : windows.first?.count ?? text.ctx
    progress.warn(ofLength: context, for: source)
    let earlier = merged.map { $0.expanded(chunkSize: context) }
    var measurement = ImportanceMeasurement(of: source, windows: windows, datasets: calibration.names)
    measurement.processOutput = processOutput
    measurement.allExperts = allExperts
    var run = options.fitRun(progress)
    run.snapshotSeconds = journal.snapshotEvery * 60
    let choice = try parts.choice()
    parts.note(choice, progress)
    measurement.keeping = try stateOptions.keeping(windows, of: source, choice, progress)
    let files = PartFiles(output: output, identity: try measurement.identity(QTool.version))
    switch choice {
    case .one(let part):
      try files.check(part, of: windows.count, "windows")
      let range = part.range(of: windows.count)
      return try files.run(
        part, kind: "gguf", journal, progress,
        isComplete: { try measurement.areStatesKept(ofWindows: range, in: run) },
        { kept, path in
          try measurement.sums(ofWindows: range, in: run, kept: kept).write(to: path, overwrite: true)
        })
    case .join(let count):
      var sums = ImportanceSums()
      for path in try files.joined(count: count) { try sums.add(try ImportanceSums(path: path)) }
      let matrix = sums.matrix(
        datasets: calibration.names, chunkCount: windows.count, chunkSize: context)
      try write(earlier + [matrix], to: output)
      return files.remove()
    case nil: try JoinedParts.requireNone(beside: output)
    }
    _ = try measurement.matrix(
      in: run, beside: journal.snapshotEvery > 0 ? output : nil, restart: journal.restart
    ) { matrix in
      try write(earlier + [matrix], to: output)
    }
  }

  private func write(_ matrices: [ImportanceMatrix], to output: String) throws {
    let matrix = try ImportanceMatrix(merging: matrices)
    if output.hasSuffix(".dat") {
      try matrix.write(legacy: output, overwrite: force)
    } else {
      try matrix.write(gguf: output, overwrite: force)
    }
    if let report = matrix.coverageReport() { print(report) }
    let size = matrix.chunkSize > 0 ? " of \(matrix.chunkSize) tokens" : ""
    print("\(output): \(matrix.entries.count) tensors, \(matrix.chunkCount) windows\(size)")
  }
}

/// States that `quantize --states` begins with.
struct StateOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Keep the hidden states with which the parts of `qtool quantize --states` begin, in this folder.",
      valueName: "folder"), completion: .directory)
  var keepStates: String?
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The sections of error feedback whose first states are kept. Of a model with experts, the parts of quantize.",
      valueName: "count"))
  var feedbackSections: Int?

  func validate() throws {
    guard (keepStates == nil) == (feedbackSections == nil) else {
      throw ValidationError("--keep-states and --feedback-sections need each other")
    }
    if let feedbackSections, feedbackSections < 2 { throw ValidationError("--feedback-sections must be at least 2") }
  }

  /// The states that a run of these windows keeps; nil for none.
  func keeping(
    _ windows: [[Int32]], of source: any ModelSource, _ choice: PartOptions.Choice?, _ progress: Progress
  ) throws -> ImportanceMeasurement.StateKeeping? {
    guard let keepStates, let feedbackSections else { return nil }
    try FeedbackOptions.check(feedbackSections, try Decoder(source), of: source)
    var part: RunPart?
    if case .one(let one) = choice { part = one }
    let keeping = ImportanceMeasurement.StateKeeping(
      folder: keepStates, sections: feedbackSections,
      origin: KeptStates.Origin(arguments: PartOptions.arguments, part: part))
    if case .join = choice { return keeping }
    let own = part.map { Array(windows[$0.range(of: windows.count)]) } ?? windows
    let bytes = try keeping.bytes(windows: own, of: source)
    progress.note(
      "\(keepStates): states of \(Figures.grouped(own.count)) windows before \(bytes.layers) "
        + "\(bytes.layers == 1 ? "layer" : "layers"), \(Figures.bytes(bytes.each)) each, "
        + "\(Figures.bytes(bytes.layers * bytes.each)) in all")
    return keeping
  }
}

/// The calibration text of a command, and its windows.
struct CalibrationOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Calibration text: files (.txt, .md, .jsonl, each also .zst) or folders (default: the text that ships with qtool).",
      valueName: "path"), completion: .file())
  var calibration: [String] = []
  @Option(name: .long, help: ArgumentHelp("Tokens in a window.", valueName: "tokens")) var ctx = 512
  @Option(name: .long, help: ArgumentHelp("Maximum number of windows.", valueName: "count")) var chunks: Int?
  @Option(name: .long, help: ArgumentHelp("Windows to skip at the beginning.", valueName: "count"))
  var fromChunk = 0
  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp("Shares of the tokens by file, such as chat=2 code=1.", valueName: "name=weight"))
  var mix: [String] = []
  @Option(name: .long, help: ArgumentHelp("Shuffle the documents of every file with this seed.", valueName: "number"))
  var seed: UInt64?
  @Flag(name: .long, help: "Parse the text of control tokens as these tokens.") var parseSpecial = false

  func validate() throws {
    if ctx < 2 { throw ValidationError("--ctx must be at least 2") }
    if let chunks, chunks < 1 { throw ValidationError("--chunks must be at least 1") }
    if fromChunk < 0 { throw ValidationError("--from-chunk must not be negative") }
    _ = try weights()
  }

  private func weights() throws -> [String: Double] {
    var result: [String: Double] = [:]
    for entry in mix {
      let parts = entry.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, let weight = Double(parts[1]), weight > 0, weight.isFinite else {
        throw ValidationError("--mix \(entry): expected name=weight")
      }
      result[String(parts[0])] = weight
    }
    return result
  }

  /// The options that are given and change the windows.
  var options: [String] {
    [
      ("--ctx", ctx != 512), ("--chunks", chunks != nil), ("--from-chunk", fromChunk != 0), ("--mix", !mix.isEmpty),
      ("--seed", seed != nil), ("--parse-special", parseSpecial),
    ].filter(\.1).map(\.0)
  }

  func calibration(for source: any ModelSource) throws -> Calibration {
    try Calibration(
      calibration, orShippedFor: source, usesAll: try !weights().isEmpty, hint: "name one with --calibration")
  }

  func windows(_ calibration: Calibration, _ tokenizer: Tokenizer) throws -> [[Int32]] {
    try calibration.text.windows(
      context: ctx, bos: tokenizer.addsBOS ? tokenizer.bos : nil,
      mix: CalibrationMix(weights: try weights(), seed: seed), first: fromChunk, limit: chunks
    ) { tokenizer.encode($0, addSpecial: false, parseSpecial: parseSpecial) }
  }
}
