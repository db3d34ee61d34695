import ArgumentParser
import Checkpoint
import GGUF
import Perplexity
import Tokenizers

struct DriftCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drift",
    abstract: "Measure how far models have drifted from the one they were made of.",
    discussion: """
      KL divergence from BASE at every scored position, with the definitions of llama-perplexity's --kl-divergence. \
      Several models share one reading of the text and of BASE.

        qtool drift Qwen2.5-7B Qwen2.5-7B-Q4_K_M.gguf --text held-out.txt
        qtool drift base.gguf small.gguf smaller.gguf --text wiki.txt code.txt
      """)

  @Argument(help: "The unquantized model.") var base: String
  @Argument(help: "The models to compare with it.") var models: [String]
  @OptionGroup(title: "Text") var text: TextOptions
  @OptionGroup(title: "Tokenizer") var splitter: SplitterOptions
  @OptionGroup(title: "Run") var options: RunOptions

  func validate() throws {
    if models.isEmpty { throw ValidationError("name at least one model to compare with BASE") }
  }

  func run() throws {
    let progress = options.apply()
    let reference = try splitter.openAmongOthers(base)
    let sources = try models.map { try splitter.openAmongOthers($0) }
    let tokenizer = try Tokenizer(metadata: reference.metadata)
    for source in sources {
      let other = try Tokenizer(metadata: source.metadata)
      guard other.vocabularyCount == tokenizer.vocabularyCount else {
        throw ScoringError.vocabulariesDiffer(
          base: reference.name, baseCount: tokenizer.vocabularyCount, model: source.name, count: other.vocabularyCount)
      }
    }
    let windows = try text.windows(tokenizer)
    let count = sources.count + 1
    let baseStates = try finalStates(of: reference, windows, options, progress, results: count)
    let states = try sources.map { ($0.name, try finalStates(of: $0, windows, options, progress, results: count)) }
    let drifts = try Drift.measure(
      base: (reference.name, baseStates), candidates: states.map { (name: $0.0, source: $0.1) }, windows: windows,
      memory: options.forward.logitBytes
    ) { _ in try Interruption.check() }
    let statistics = drifts.map(DriftStatistics.init)
    print(DriftTable.summary(base: reference, models: sources, statistics))
    if statistics.count == 1 { print("\n" + DriftTable.details(statistics[0])) }
  }
}
