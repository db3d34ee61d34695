import ArgumentParser
import Checkpoint
import Files
import GGUF
import Perplexity
import Tokenizers

struct PerplexityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "perplexity",
    abstract: "Measure how well a model predicts a text, or answers multiple choice.",
    discussion: """
      Windows of --ctx tokens, of which the second half is scored, as llama-perplexity does; with --stride, windows that \
      overlap. With several texts there is a row for each, and for each kind of text. Tasks are files in \
      llama-perplexity's formats.

        qtool perplexity Qwen2.5-7B --text held-out.txt code.py
        qtool perplexity model-Q4_K_M.gguf --text held-out.txt --ctx 2048 \\
          --stride 512
        qtool perplexity model-Q4_K_M.gguf --hellaswag hellaswag_val_full.txt \\
          --tasks 400
      """)

  @Argument(help: "A Hugging Face directory or a GGUF file.", completion: .file()) var model: String
  @OptionGroup(title: "Text") var text: TextOptions
  @OptionGroup(title: "Checkpoint") var splitter: SplitterOptions
  @OptionGroup(title: "Tasks") var tasks: TaskOptions
  @OptionGroup(title: "Report") var report: ReportOptions
  @OptionGroup(title: "Run") var options: RunOptions

  func validate() throws {
    if text.text.isEmpty, tasks.isEmpty {
      throw ValidationError("--text names at least one file; or give --hellaswag, --winogrande or --multiple-choice")
    }
  }

  func run() throws {
    let progress = options.apply()
    let source = try splitter.open(model, progress)
    let tokenizer = try Tokenizer(metadata: source.metadata)
    // All files are read before anything runs for hours.
    let given = try tasks.read(tokenizer)
    var windows: ScoringWindows?
    if !text.text.isEmpty {
      let texts = try text.texts(chatTemplate: source.metadata.optionalString("tokenizer.chat_template"))
      progress.noteOnce(texts.flatMap(\.notes))
      windows = try text.windows(texts, tokenizer)
    }
    var result = PerplexityReport(source)
    if let windows {
      let scored = try ScoredModels([source], over: windows, options, progress)
      progress.start("\(source.name): scoring", total: windows.rowCount, unit: .positions)
      let likelihood = try Likelihood(
        of: scored.models[0].source, named: source.name, windows: windows, memory: scored.memory,
        progress: StageObserver(progress: progress, total: windows.rowCount))
      progress.finish()
      result.add(likelihood, windows)
    }
    for (name, file, tasks) in given {
      let score = try ChoiceTask.score(tasks, named: source.name, memory: options.forward.budget.tasks) {
        sequences, positions in
        let windows = ScoringWindows(windows: sequences, scored: positions)
        return try ScoredModels([source], over: windows, options, progress).models[0].source
      }
      result.tasks.append(.init(task: name, file: file, score: score))
    }
    if report.json {
      try printJSON(result)
    } else {
      print(report.csv ? result.csv : result.table)
    }
  }
}

/// Multiple-choice tasks in llama-perplexity's formats.
struct TaskOptions: ParsableArguments {
  @Option(
    name: .long, help: ArgumentHelp("Score HellaSwag: text, six lines a task.", valueName: "file"), completion: .file())
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
    help: ArgumentHelp("Score this many tasks of each file, the ones that llama-perplexity picks.", valueName: "count"))
  var tasks: Int?

  var isEmpty: Bool { hellaswag == nil && winogrande == nil && multipleChoice == nil }

  func validate() throws {
    if let tasks, tasks < 1 { throw ValidationError("--tasks is at least 1") }
    if tasks != nil, isEmpty { throw ValidationError("--tasks goes with a file of tasks") }
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
