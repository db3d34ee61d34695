import Foundation
import TestSupport
import Testing

/// Every documented command runs, with the demo model in place of the named models, and with sizes that it can have.
@Suite struct DocumentationTests {
  private static let qtool = Binary(beside: Bundle.module)

  private static let documents: [String] = {
    let root = Repository.root.path
    let folder = (try? FileManager.default.contentsOfDirectory(atPath: root + "/Documentation")) ?? []
    let articles = (try? FileManager.default.contentsOfDirectory(atPath: root + "/Sources")) ?? []
    return ["README.md", "CONTRIBUTING.md", "calibration/README.md", "Examples/README.md"]
      + folder.filter { $0.hasSuffix(".md") && !$0.hasPrefix("benchmarks") }.sorted().map { "Documentation/" + $0 }
      + articles.map { "Sources/\($0)/\($0).docc/\($0).md" }.sorted()
      .filter { FileManager.default.fileExists(atPath: root + "/" + $0) }
  }()

  private static let commands: [String] = {
    let help = (try? qtool.run(["--help"]))?.output ?? ""
    let list = help.components(separatedBy: "SUBCOMMANDS:").last ?? ""
    return list.matches(of: /\n  ([a-z]+)\s/).map { String($0.output.1) }.filter { $0 != "help" }
  }()

  @Test func thereAreCommands() { #expect(Self.commands.count >= 9) }

  @Test(arguments: documents) func documentedCommandsRun(_ document: String) throws {
    let text = try String(contentsOfFile: Repository.root.path + "/" + document, encoding: .utf8)
    try World().run(Self.examples(in: text), from: document)
  }

  /// The commands in the help of every command run; an empty name means the help of qtool.
  @Test(arguments: [""] + commands) func theHelpsCommandsRun(_ command: String) throws {
    let help = try Self.qtool.run(["help"] + (command.isEmpty ? [] : [command]))
    #expect(help.status == 0)
    let examples = Self.examples(in: help.output.components(separatedBy: "\nUSAGE:")[0])
    #expect(examples.count >= 2, "\(command): \(examples)")
    try World().run(examples, from: "help \(command)")
    // It fits a terminal of 80 columns.
    #expect(help.output.split(separator: "\n").allSatisfy { $0.count <= 80 }, "\(help.output)")
  }

  /// Examples/library is built with the tests, and works.
  @Test func theLibrarysExampleRuns() throws {
    let out = try TemporaryDirectory()
    let example = Binary(url: Self.qtool.url.deletingLastPathComponent().appending(path: "quantize-example"))
    let text = Repository.calibration + "/news.txt"
    let result = try example.run([Repository.demoModel, text, "1900000", out.path("out.gguf")])
    #expect(result.status == 0 && result.output.contains("KL divergence 0."), "\(result.output) \(result.error)")
    let size = try FileManager.default.attributesOfItem(atPath: out.path("out.gguf"))[.size] as? Int ?? 0
    #expect(size <= 1_900_000 && size > 1_880_000, "\(size)")
  }

  /// Lines of code that begin with `qtool `, with their continuation lines; without lines that have placeholders in
  /// capitals.
  private static func examples(in text: String) -> [String] {
    var examples: [String] = []
    var open = ""
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      // A command with its output below has a prompt.
      let trimmed = String(line.trimmingCharacters(in: .whitespaces).trimmingPrefix("$ "))
      let isCode = line.hasPrefix("  ") || trimmed.hasPrefix("qtool ")
      guard !open.isEmpty || (isCode && trimmed.hasPrefix("qtool ")) else { continue }
      open += trimmed
      if open.hasSuffix("\\") {
        open.removeLast()
        continue
      }
      examples.append(open)
      open = ""
    }
    // A sentence may begin with the program's name, and a synopsis with a placeholder.
    return examples.filter { example in
      let words = example.split(separator: " ")
      return words.count > 1 && (commands.contains(String(words[1])) || words[1].hasPrefix("--"))
        && !example.contains(/\b(MODEL|FILE|BASE|SOURCE|OUT|MACHINE)\b|\.\.\.|…/)
    }
  }
}

/// A folder with the files that documentation mentions.
private struct World {
  /// Made once: the GGUF files and importance matrices of all folders.
  private static let stock = Result { try Stock() }

  private struct Stock: Sendable {
    let directory: TemporaryDirectory

    init() throws {
      directory = try TemporaryDirectory()
      let qtool = Binary(beside: Bundle.module)
      for arguments in [
        ["convert", Repository.demoModel, "--type", "F16", "-o", directory.path("F16.gguf")],
        ["quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_K_M", "-o", directory.path("Q4_K_M.gguf")],
        ["imatrix", Repository.demoModel, "--chunks", "2", "-o", directory.path("imatrix.gguf")],
      ] {
        let result = try qtool.run(arguments + ["--quiet"])
        guard result.status == 0 else { throw CocoaError(.fileWriteUnknown, userInfo: ["error": result.error]) }
      }
    }
  }

  private let directory: TemporaryDirectory

  init() throws {
    directory = try TemporaryDirectory()
    // A text of few windows, so that the test is quick.
    let text = try String(contentsOfFile: Repository.root.path + "/Examples/held-out.txt", encoding: .utf8).prefix(9000)
    try FileManager.default.createDirectory(
      at: directory.url.appending(path: "empty"), withIntermediateDirectories: true)
    try FileManager.default.copyItem(
      atPath: Repository.demoModel + "/config.json", toPath: directory.path("config.json"))
    for name in [
      "held-out.txt", "your-own-text.txt", "own.txt", "wiki.txt", "code.txt", "text.txt", "code.py", "notes.txt",
      "chat.txt",
    ] {
      try String(text).write(to: directory.url.appending(path: name), atomically: true, encoding: .utf8)
    }
    try FileManager.default.createSymbolicLink(
      atPath: directory.path("calibration"), withDestinationPath: Repository.calibration)
    try FileManager.default.createSymbolicLink(
      atPath: directory.path("Examples"), withDestinationPath: Repository.root.path + "/Examples")
  }

  /// Runs examples. Those that would take minutes, or need files that can't be distributed, must stop at their missing
  /// files.
  func run(_ examples: [String], from document: String) throws {
    for example in examples {
      // Sizes of files that the demo model can have.
      let target = "--target 2MB" + (example.contains("qtool quantize") ? " --budget 10s" : "")
      var line = example.replacing(/--target (?:\d+\.)?\d+ ?[GM]i?B/, with: target)
      // Feedback would take most of the time of all examples; those about it show it.
      if !line.contains("feedback") { line.replace("qtool quantize ", with: "qtool quantize --no-feedback ") }
      let isLong = line.contains(/--target|--fit|--preset|qtool sensitivity/) && !document.hasSuffix("quantizing.md")
      let lacks = isLong || line.contains(/hellaswag_val|b\.dat|my-texts|\.jsonl|-of-\d/)
      // Parts of an output are joined where it does not exist yet.
      if !lacks, !line.contains("qtool join") { try provide(line) }
      let bin = Binary(beside: Bundle.module).url.deletingLastPathComponent().path
      let folder = lacks ? directory.path("empty") : directory.url.path
      let result = try Binary(url: URL(filePath: "/bin/sh")).run(
        ["-c", "cd '\(folder)' && PATH='\(bin)':\"$PATH\" && \(line)"])
      // A built-in shape has a plan without any file.
      let expected: Set<Int32> = lacks ? (line.contains("qtool plan") ? [0, 66] : [66]) : [0]
      #expect(expected.contains(result.status), "\(document): \(example)\n\(result.error)")
    }
  }

  /// Links the models that a command names and that do not exist.
  private func provide(_ line: String) throws {
    let stock = try Self.stock.get().directory
    let words = line.split(separator: " ").map { $0.trimmingCharacters(in: ["'", "\""]) }
    for (index, whole) in words.enumerated().dropFirst(2) {
      let word = String(whole.prefix { $0 != "/" })
      let isOutput = ["-o", "--output", ">", "--save-reference"].contains(words[index - 1])
      guard !isOutput, !word.hasPrefix("-"), !FileManager.default.fileExists(atPath: directory.path(word)) else {
        continue
      }
      let target: String? =
        if word.hasSuffix("imatrix.gguf") {
          stock.path("imatrix.gguf")
        } else if word.hasSuffix(".gguf") {
          stock.path(word.contains("F16") ? "F16.gguf" : "Q4_K_M.gguf")
        } else if word.contains(/^(Llama|Qwen|Mi[sx]tral|DeepSeek|Miqu|other-model)[-A-Za-z0-9.]*$/),
          words[index - 1] != "plan" || whole.contains("/")
        {
          Repository.demoModel
        } else {
          nil
        }
      guard let target else { continue }
      // Compared models must be different files.
      if word == "smaller.gguf" {
        try FileManager.default.copyItem(atPath: target, toPath: directory.path(word))
      } else {
        try FileManager.default.createSymbolicLink(atPath: directory.path(word), withDestinationPath: target)
      }
    }
  }
}
