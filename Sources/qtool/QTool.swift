import ArgumentParser
import CMachine
import Foundation
import Tensors

@main struct QTool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "qtool",
    abstract: "Quantize language models to a size, and measure the drift.",
    discussion: """
      MODEL is a Hugging Face directory (config.json, tokenizer, safetensors) or a GGUF file (or its first shard).

        qtool quantize Llama-3.1-405B-Instruct --target 190GB \\
          -o Llama-3.1-405B-190GB.gguf
        qtool drift Llama-3.1-8B-F16.gguf Llama-3.1-8B-Q4_K_M.gguf \\
          --text held-out.txt

      Exit codes: 64 usage, 65 bad data, 66 missing input, 69 unfit machine, 73 cannot write, 74 input or output \
      failed, 130 interrupted.
      """,
    version: "\(version) (build \(String(cString: cmachine_build)))",
    subcommands: commands)

  static let version = "0.2.0"

  /// Bytes for the smallest model: ranges of rows, a header, and buffers of the matrix library.
  private static let minimumMemory = 512 << 20

  private static func checkMemoryLimit() throws {
    guard let remaining = MemoryLimit.remaining, remaining < minimumMemory else { return }
    throw Failure(
      .machine,
      "a limit leaves this process \(Figures.bytes(remaining)) of address space; it needs "
        + Figures.bytes(minimumMemory),
      hint: "raise the limit: ulimit -v unlimited")
  }

  /// Suggests the nearest command for an unknown one.
  private static func checkCommand(_ arguments: ArraySlice<String>) throws {
    let words = arguments.first == "help" ? arguments.dropFirst() : arguments
    let names = commands.compactMap { $0.configuration.commandName } + ["help"]
    guard let word = words.first, !word.hasPrefix("-"), !names.contains(word) else { return }
    throw Failure(.usage, "\(word): no such command", hint: "qtool --help lists the commands")
      .suggesting(word, among: names)
  }

  /// Suggests the nearest option for an unknown one. The parser reports missing options first, of which the unknown one may
  /// be a misspelling.
  private static func checkOptions(_ arguments: ArraySlice<String>) throws {
    guard let name = arguments.first, let command = commands.first(where: { $0.configuration.commandName == name })
    else { return }
    // Rows of options are `  -o, --output <file>` and `  --feedback/--no-feedback`. A large width keeps each on one line.
    let names = helpMessage(for: command, columns: 1000).split(separator: "\n").filter { $0.hasPrefix("  -") }
      .flatMap { row in row.matches(of: /(?:^\s+|,\s+|\/)(--[a-z][a-z0-9-]*)/).map { String($0.1) } }
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
      guard exitCode(for: error) == .validationFailure else { throw error }
      try checkOptions(arguments)
      let message = message(for: error).split(separator: "\n").joined(separator: " ")
      let command = arguments.first.flatMap { name in
        commands.first { $0.configuration.commandName == name }.map { _ in "qtool help \(name)" }
      }
      throw Failure(.usage, message, hint: "\(command ?? "qtool --help") has the usage")
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
