import ArgumentParser
import CMachine
import Foundation
import Tensors

@main struct QTool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "qtool",
    abstract: "Quantize language models to a size, and measure what it costs.",
    discussion: """
      MODEL is a Hugging Face directory (config.json, tokenizer, safetensors) or a GGUF file; of a sharded GGUF, its \
      first shard.

        qtool quantize Llama-3.1-405B-Instruct --target 190GB \\
          -o Llama-3.1-405B-190GB.gguf
        qtool drift Llama-3.1-8B-F16.gguf Llama-3.1-8B-Q4_K_M.gguf \\
          --text held-out.txt

      Exit codes: 64 usage, 65 bad data, 66 missing input, 69 unfit machine, 73 cannot write, 74 input or output \
      failed, 130 interrupted.
      """,
    version: "\(version) (build \(String(cString: cmachine_build)))",
    subcommands: commands)

  static let version = "0.1.0"

  /// What the smallest model needs: blocks of rows in work, a header, the matrix library's own buffers.
  private static let leastMemory = 512 << 20

  private static func checkMemoryLimit() throws {
    guard let left = MemoryLimit.left, left < leastMemory else { return }
    throw Failure(
      .machine,
      "a limit leaves this process \(Figures.bytes(left)) of address space; it needs \(Figures.bytes(leastMemory))",
      hint: "raise the limit: ulimit -v unlimited")
  }

  /// Says of a command that there is not which was probably meant.
  private static func checkCommand(_ arguments: ArraySlice<String>) throws {
    let words = arguments.first == "help" ? arguments.dropFirst() : arguments
    let names = commands.compactMap { $0.configuration.commandName } + ["help"]
    guard let word = words.first, !word.hasPrefix("-"), !names.contains(word) else { return }
    throw Failure(.usage, "\(word): no such command", hint: "qtool --help lists the commands")
      .suggesting(word, among: names)
  }

  /// Says of an option that there is not which was probably meant. The parser complains of what is missing first, and
  /// what is missing was mistyped.
  private static func checkOptions(_ arguments: ArraySlice<String>) throws {
    guard let name = arguments.first, let command = commands.first(where: { $0.configuration.commandName == name })
    else { return }
    // Rows of options: `  -o, --output <file>`; without a limit of columns each is one line.
    let names = helpMessage(for: command, columns: 1000).split(separator: "\n").filter { $0.hasPrefix("  -") }
      .flatMap { row in row.matches(of: /(?:^|,)\s+(--[a-z][a-z0-9-]*)/).map { String($0.1) } }
    let written = arguments.dropFirst().prefix { $0 != "--" }
    guard
      let option = written.lazy.compactMap({ $0.firstMatch(of: /^--[a-zA-Z][^=]*/).map { String($0.0) } })
        .first(where: { !names.contains($0) })
    else { return }
    throw Failure(.usage, "\(option): no such option of \(name)", hint: "qtool help \(name) lists the options")
      .suggesting(option, among: names)
  }

  private static func parse(_ arguments: ArraySlice<String>) throws -> any ParsableCommand {
    do {
      return try parseAsRoot()
    } catch {
      if exitCode(for: error) == .validationFailure { try checkOptions(arguments) }
      throw error
    }
  }

  static func main() {
    precondition(cmachine_linked == 1)
    Interruption.install()
    do {
      let arguments = CommandLine.arguments.dropFirst()
      try checkCommand(arguments)
      var command = try parse(arguments)
      try checkMemoryLimit()
      try command.run()
    } catch {
      Terminal.clear()
      guard let failure = Failure(error) else { exit(withError: error) }
      failure.report()
      Foundation.exit(failure.code.rawValue)
    }
  }
}
