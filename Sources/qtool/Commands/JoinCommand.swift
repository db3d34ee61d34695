import ArgumentParser
import Files
import Foundation

struct JoinCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "join",
    abstract: "Make the result of a run whose parts were done by several processes.",
    discussion: """
      imatrix, sensitivity, quantize, convert, drift and perplexity do one of N parts with --part K/N, on any machine of \
      a shared folder, in any order. `join` checks that all parts are complete and of one run, and makes the result, \
      which is byte for byte that of a single process. It names missing parts with the command that does them.

        qtool imatrix Qwen2.5-7B -o parts.imatrix.gguf --part 2/2
        qtool imatrix Qwen2.5-7B -o parts.imatrix.gguf --part 1/2
        qtool join parts.imatrix.gguf

      Run it in the folder in which the parts ran: it repeats their command without the work that they did.
      """)

  @Argument(help: "The output of the parts, or the --journal of drift and perplexity.", completion: .file())
  var output: String
  @OptionGroup(title: "Run") var options: ThreadOptions

  func run() throws {
    let counts = JoinedParts.counts(beside: output)
    guard let count = counts.first else {
      throw Failure(
        .missing, "\(output): has no finished parts", hint: "name the output of a command that ran with --part K/N")
    }
    guard counts.count == 1 else { throw PartsError.severalCounts(output: output, counts) }
    let parts = try JoinedParts(beside: output, count: count)
    var command = try QTool.parseAsRoot(parts.records[0].arguments + ["--part", "all/\(count)"])
    _ = options.apply()
    try command.run()
  }
}
