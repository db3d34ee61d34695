import ArgumentParser
import Checkpoint
import Perplexity
import Tokenizers

struct PerplexityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "perplexity",
    abstract: "Measure how well a model predicts a text.",
    discussion: """
      Windows of --ctx tokens, of which the second half is scored, as llama-perplexity does.

        qtool perplexity Qwen2.5-7B --text held-out.txt
        qtool perplexity model-Q4_K_M.gguf --text held-out.txt --ctx 2048
      """)

  @Argument(help: "A Hugging Face directory or a GGUF file.") var model: String
  @OptionGroup(title: "Text") var text: TextOptions
  @OptionGroup(title: "Tokenizer") var splitter: SplitterOptions
  @OptionGroup(title: "Run") var options: RunOptions

  func run() throws {
    let progress = options.apply()
    let source = try splitter.open(model)
    let windows = try text.windows(try Tokenizer(metadata: source.metadata))
    let states = try finalStates(of: source, windows, options, progress)
    let likelihood = try Likelihood(
      of: states, named: source.name, windows: windows, memory: options.forward.logitBytes
    ) { _ in try Interruption.check() }
    var table = Table([
      ("text", .left), ("windows", .right), ("tokens scored", .right), ("perplexity", .right), ("±", .right),
    ])
    func row(_ name: String, windows count: Int, _ statistics: LikelihoodStatistics) {
      table.add([
        name, "\(count)", Figures.grouped(statistics.positions), Figures.fixed(statistics.perplexity.value, 4),
        Figures.fixed(statistics.perplexity.error, 4),
      ])
    }
    for part in windows.parts {
      row(part.name, windows: part.windows.count, likelihood.statistics(rows: [windows.rows(ofWindows: part.windows)]))
    }
    if windows.parts.count > 1 { row("all", windows: windows.windows.count, likelihood.statistics()) }
    print(table.rendered())
  }
}
