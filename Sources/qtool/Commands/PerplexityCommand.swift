import ArgumentParser
import Checkpoint
import Files
import GGUF
import Perplexity
import Quantize
import Tokenizers
import Transformer

struct PerplexityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "perplexity",
    abstract: "Measure the perplexity of models, or their accuracy on multiple choice.",
    discussion: """
      Text is cut into windows of --ctx tokens, of which the second half is scored, as in llama-perplexity; with \
      --stride, windows overlap. Each text and each kind of text gets a row. Tasks are files in llama-perplexity's \
      formats. Several models run one after the other over the same windows. They are compared with the first, position \
      by position, or by bits per byte of text if their tokens differ.

        qtool perplexity Qwen2.5-7B --text held-out.txt code.py
        qtool perplexity Qwen2.5-7B small.gguf smaller.gguf --text held-out.txt
        qtool perplexity model-Q4_K_M.gguf --text held-out.txt --ctx 2048 \\
          --stride 512
        qtool perplexity model-Q4_K_M.gguf --hellaswag hellaswag_val_full.txt \\
          --tasks 400
      """)

  @Argument(help: "Hugging Face directories or GGUF files.", completion: .file()) var models: [String]
  @OptionGroup(title: "Text") var text: TextOptions
  @OptionGroup(title: "Checkpoint") var splitter: SplitterOptions
  @OptionGroup(title: "Tasks") var tasks: TaskOptions
  @Option(
    name: .customLong("journal"),
    help: ArgumentHelp("With --part: the name of the result, beside which the parts are stored.", valueName: "file"))
  var keptName: String?
  @OptionGroup(title: "Parts") var parts: PartOptions
  @OptionGroup(title: "Report") var report: ReportOptions
  @OptionGroup(title: "Run") var options: RunOptions

  func validate() throws {
    if text.text.isEmpty, tasks.isEmpty {
      throw ValidationError("--text names at least one file; or give --hellaswag, --winogrande or --multiple-choice")
    }
  }

  func run() throws {
    let progress = options.apply()
    // All models and texts are opened and planned before the first model runs for hours.
    let (subjects, options) = try subjects(progress)
    let choice = try parts.choice()
    parts.note(choice, progress)
    var finished: [Likelihood]?
    if let choice {
      finished = try share(choice, of: subjects, options, progress)
      guard finished != nil else { return }
    }
    var reports: [PerplexityReport] = []
    var first: (likelihood: Likelihood, windows: ScoringWindows)?
    for (index, subject) in subjects.enumerated() {
      var result = PerplexityReport(subject.source, named: subject.name)
      if let windows = subject.windows {
        let likelihood = try finished?[index] ?? likelihood(of: subject, windows, options, progress)
        let sharesTokens = first.map { $0.windows == windows }
        result.add(
          likelihood, windows, textBytes: { Int(subject.textBytes[Int($0)]) },
          comparedWith: sharesTokens == true ? first?.likelihood : nil)
        result.sharesTokens = sharesTokens
        first = first ?? (likelihood, windows)
      }
      for (index, task) in subject.tasks.enumerated() {
        let answers = try answers(of: subject, task.tasks, options, progress)
        result.add(
          answers, of: task.tasks, name: task.name, file: task.file,
          comparedWith: reports.first?.tasks[index].answers)
      }
      reports.append(result)
    }
    if reports.count == 1 {
      try report.show(reports[0], csv: reports[0].csv, table: reports[0].table)
    } else {
      let comparison = PerplexityComparison(models: reports)
      try report.show(comparison, csv: comparison.csv, table: comparison.table)
    }
  }

  /// Scores the windows of a part, or returns the likelihoods of all parts.
  private func share(
    _ choice: PartOptions.Choice, of subjects: [Subject], _ options: RunOptions, _ progress: Progress
  ) throws -> [Likelihood]? {
    guard let keptName, tasks.isEmpty else {
      throw Failure(
        .usage, "parts of a perplexity need --journal, and no tasks",
        hint: "name the result of the parts with --journal NAME")
    }
    let all = subjects.map { $0.windows ?? ScoringWindows(windows: [], scored: 0..<0) }
    var fields = try subjects.enumerated().map {
      RunIdentity.Field("model \($0 + 1)", try ModelFingerprint(of: $1.source).hex)
    }
    fields += all.enumerated().map { RunIdentity.Field("text of model \($0 + 1)", $1.digest) }
    fields.append(RunIdentity.Field("version of qtool", QTool.version))
    let files = PartFiles(output: keptName, identity: RunIdentity(fields))
    switch choice {
    case .one(let part):
      try files.check(part, of: all.map(\.windows.count).min() ?? 0, "windows")
      let journal = JournalOptions.none
      try files.run(part, kind: "losses.json", journal, progress) { _, path in
        let losses = try zip(subjects, all).map { subject, windows in
          try likelihood(of: subject, windows[part.range(of: windows.windows.count)], options, progress).losses
        }
        try PartFiles.write(losses, to: path)
      }
      return nil
    case .join(let count):
      let losses = try files.joined(count: count).map { try PartFiles.read([[Double]].self, from: $0) }
      return subjects.indices.map { index in Likelihood(losses: losses.flatMap { $0[index] }) }
    }
  }

  /// A model, with the text and tasks that it is scored on.
  private struct Subject {
    let name: String
    let source: any ModelSource
    let windows: ScoringWindows?
    /// Bytes of text by token, so that the tokenizer need not stay in memory while models run.
    let textBytes: [Int32]
    let tasks: [(name: String, file: String, tasks: [ChoiceTask])]
  }

  /// Opens all models, cuts the text for each, and refuses models that can't run. The memory of the returned options is
  /// reduced by the metadata of the other models.
  private func subjects(_ progress: Progress) throws -> ([Subject], RunOptions) {
    let sources = try models.enumerated().map { index, path in
      let identity = FileIdentity(path: path)
      if let other = models[..<index].first(where: { identity != nil && FileIdentity(path: $0) == identity }) {
        throw Failure(.usage, "\(path): is the same model as \(other)", hint: "name each model once")
      }
      return models.count == 1 ? try splitter.open(path, progress) : try splitter.openAmongOthers(path, progress)
    }
    // Found before the text is read, whose length matters only to a model that runs.
    for source in sources { _ = try Decoder(source) }
    let names = Dictionary(grouping: sources, by: \.name)
    // All models read the same text: conversations are formatted with the first model's template.
    let texts = try text.texts(chatTemplate: sources[0].metadata.optionalString("tokenizer.chat_template"))
    progress.noteOnce(texts.flatMap(\.notes))
    var options = options
    if models.count > 1 {
      let tokens = sources.dropFirst().reduce(0) {
        $0 + ($1.metadata.optionalStrings("tokenizer.ggml.tokens")?.count ?? 0)
      }
      options.memory = ByteSize(bytes: max(1, options.forward.budget.total - Self.metadataBytesPerToken * tokens))
    }
    var subjects: [Subject] = []
    for (path, source) in zip(models, sources) {
      let tokenizer = try Tokenizer(metadata: source.metadata)
      var windows = texts.isEmpty ? nil : try text.windows(texts, tokenizer)
      // Models with equal windows share one copy.
      if let first = subjects.first?.windows, first == windows { windows = first }
      if models.count > 1 {
        let pass = try ForwardPass(source: source, options: options.forward)
        if let windows {
          _ = try pass.plan(windows: windows.windows.count, length: windows.context, scored: windows.scored.count)
        }
      }
      subjects.append(
        Subject(
          name: names[source.name]?.count == 1 ? source.name : path, source: source, windows: windows,
          textBytes: (0..<Int32(tokenizer.vocabularyCount)).map { Int32(tokenizer.piece($0).count) },
          tasks: try tasks.read(tokenizer)))
    }
    return (subjects, options)
  }

  /// Bytes per token of the vocabulary of a model that is open while another runs.
  private static let metadataBytesPerToken = 68

  private func likelihood(
    of subject: Subject, _ windows: ScoringWindows, _ options: RunOptions, _ progress: Progress
  ) throws -> Likelihood {
    let scored = try ScoredModels.running([subject.source], over: windows, options, progress)
    progress.start("\(subject.name): scoring", total: windows.rowCount, unit: .positions)
    defer { progress.finish() }
    return try Likelihood.measuring(
      scored.models[0].source, named: subject.name, windows: windows, memory: scored.memory,
      progress: StageObserver(progress: progress, total: windows.rowCount))
  }

  private func answers(
    of subject: Subject, _ tasks: [ChoiceTask], _ options: RunOptions, _ progress: Progress
  ) throws -> [Bool] {
    try ChoiceTask.answers(tasks, named: subject.name, memory: options.forward.budget.tasks) { sequences, positions in
      let windows = ScoringWindows(windows: sequences, scored: positions)
      return try ScoredModels.running([subject.source], over: windows, options, progress).models[0].source
    }
  }
}

/// Multiple-choice tasks in llama-perplexity's formats.
struct TaskOptions: ParsableArguments {
  @Option(
    name: .long, help: ArgumentHelp("Score HellaSwag: text, six lines per task.", valueName: "file"),
    completion: .file())
  var hellaswag: String?
  @Option(
    name: .long, help: ArgumentHelp("Score WinoGrande: comma-separated lines.", valueName: "file"), completion: .file())
  var winogrande: String?
  @Option(
    name: .long, help: ArgumentHelp("Score multiple choice (MMLU, ARC, TruthfulQA): binary.", valueName: "file"),
    completion: .file())
  var multipleChoice: String?
  @Option(
    name: .long,
    help: ArgumentHelp("Number of tasks to score of each file; llama-perplexity's choice.", valueName: "count"))
  var tasks: Int?

  var isEmpty: Bool { hellaswag == nil && winogrande == nil && multipleChoice == nil }

  func validate() throws {
    if let tasks, tasks < 1 { throw ValidationError("--tasks must be at least 1") }
    if tasks != nil, isEmpty { throw ValidationError("--tasks needs a file of tasks") }
  }

  func read(_ tokenizer: Tokenizer) throws -> [(name: String, file: String, tasks: [ChoiceTask])] {
    let tokenize = { (text: String) in tokenizer.encode(text) }
    func base(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
    var result: [(name: String, file: String, tasks: [ChoiceTask])] = []
    if let hellaswag {
      let tasks = try ChoiceTask.hellaSwag(
        try TextFile(path: hellaswag).text, path: hellaswag, limit: tasks, tokenize: tokenize)
      result.append(("HellaSwag", base(hellaswag), tasks))
    }
    if let winogrande {
      let tasks = try ChoiceTask.winoGrande(
        try TextFile(path: winogrande).text, path: winogrande, limit: tasks, tokenize: tokenize)
      result.append(("WinoGrande", base(winogrande), tasks))
    }
    if let multipleChoice {
      let file = try PositionedFile(path: multipleChoice)
      let tasks = try ChoiceTask.multipleChoice(
        try file.bytes(in: 0..<file.size), path: multipleChoice, limit: tasks, tokenize: tokenize)
      result.append(("multiple choice", base(multipleChoice), tasks))
    }
    return result
  }
}
