import ArgumentParser
import Checkpoint
import GGUF
import Imatrix
import Perplexity
import Tokenizers
import Transformer

struct ImatrixCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "imatrix",
    abstract: "Compute an importance matrix from calibration text.",
    discussion: """
      Squared activations, summed for every input column of every weight matrix, in llama.cpp's GGUF form. All text \
      goes through a layer before the next is read: each weight is read once.

        qtool imatrix Qwen2.5-7B -o Qwen2.5-7B.imatrix.gguf
        qtool imatrix model.gguf --calibration chats/ code.txt --ctx 1024 -o model.imatrix.gguf
      """)

  @Argument(help: "A Hugging Face directory or a GGUF file.") var model: String
  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Calibration text: files or folders (default: the text that ships with qtool).", valueName: "path"))
  var calibration: [String] = []
  @Option(name: .long, help: "Tokens in a window.") var ctx = 512
  @Option(name: .long, help: "Windows to use at most.") var chunks: Int?
  @Flag(name: .long, help: "Collect for the output matrix too.") var processOutput = false
  @OptionGroup(title: "Output") var output: OutputOptions
  @OptionGroup(title: "Run") var options: RunOptions

  func run() throws {
    let progress = options.apply()
    try output.check()
    let source = try openModel(path: model)
    let text = calibration.isEmpty ? try Calibration.shipped() : try Calibration(calibration)
    let windows = try text.windows(try Tokenizer(metadata: source.metadata), context: ctx, limit: chunks)
    let matrix = try importance(of: source, text, windows, output: processOutput, options, progress)
    try matrix.write(gguf: output.output, overwrite: output.force)
    print("\(output.output): \(matrix.entries.count) tensors, \(matrix.chunkCount) windows of \(ctx) tokens")
  }
}

/// Runs calibration text through a model and sums what goes into its matrices.
func importance(
  of source: any ModelSource, _ text: Calibration, _ windows: ScoringWindows, output: Bool = false,
  _ options: RunOptions, _ progress: Progress
) throws -> ImportanceMatrix {
  let pass = try ForwardPass(source: source, options: options.forward)
  let collector = ImportanceCollector(output: output)
  let tokens = windows.windows.count * windows.context
  progress.start("\(source.name): importance", total: tokens, unit: .tokens)
  _ = try pass.run(windows: windows.windows, scored: 0..<0, observer: collector) { done, layers in
    try Interruption.check()
    progress.update(tokens * done / layers, "layer \(done) of \(layers)")
  }
  progress.finish()
  return collector.matrix(datasets: text.names, chunkCount: windows.windows.count, chunkSize: windows.context)
}
