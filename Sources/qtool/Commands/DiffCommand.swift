import ArgumentParser
import Checkpoint
import GGUF
import Inspection
import Tensors

struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Compare two models: metadata, types, and the error of every tensor.",
    usage: "qtool diff <first> <second> [<options>]",
    discussion: """
      Errors are relative to the first model: the sum of squared differences divided by its sum of squares. Rows are \
      streamed, so that models of any size are compared in a few megabytes.

        qtool diff Qwen2.5-7B Qwen2.5-7B-Q4_K_M.gguf
        qtool diff old.gguf new.gguf --no-errors
      """)

  @Argument(help: "The reference: a Hugging Face directory or a GGUF file.", completion: .file()) var first: String
  @Argument(help: "The model to compare with it.", completion: .file()) var second: String
  @Flag(name: .long, help: "Compare metadata, shapes and types without reading weights.") var noErrors = false
  @Flag(name: .long, help: "Print JSON.") var json = false
  @OptionGroup(title: "Checkpoint") var splitter: SplitterOptions
  @OptionGroup(title: "Run") var options: ThreadOptions

  func run() throws {
    let progress = options.apply()
    try splitter.check([first, second])
    let (one, other) = (try open(first, progress), try open(second, progress))
    let metadata = MetadataDifference.between(one.metadata, other.metadata)
    let tensors = ModelDifference(one, other)
    var errors: [Double?]?
    if !noErrors {
      let total = tensors.common.reduce(0) { $0 + $1.first.shape.count }
      progress.start("\(first) and \(second)", total: total, unit: .count("weights"))
      let stage = StageObserver(progress: progress, total: total)
      var done = 0
      errors = try tensors.common.map { pair in
        let count = pair.first.shape.count
        defer { done += count }
        let part = PartObserver(of: stage, from: Double(done) / Double(total), share: Double(count) / Double(total))
        return try ModelDifference.relativeError(pair, one, other, progress: part)
      }
      progress.finish("compared \(Figures.grouped(total)) weights")
    }
    let report = DifferenceReport(
      first: one, second: other, metadata: metadata, tensors: tensors, errors: errors)
    if json { try printJSON(report.json) } else { print(report.text) }
  }

  private func open(_ path: String, _ progress: Progress) throws -> any ModelSource {
    let path = try splitter.located(path)
    return noErrors && !ModelLocation.isCheckpoint(path)
      ? try GGUFFile(path: path, headerOnly: true) : try splitter.openAmongOthers(path, progress)
  }
}
