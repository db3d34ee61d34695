import Foundation
import TestSupport
import Testing

@Suite struct UsageTests {
  let qtool = Binary(beside: .module)
  private let folder = Repository.root.appending(path: "Tests/CommandTests/Fixtures/help")

  private func help(_ arguments: [String]) throws -> String {
    let result = try qtool.run(arguments + ["--help"], environment: ["COLUMNS": "80", "LINES": "24"])
    #expect(result.status == 0 && result.error.isEmpty, "\(result.error)")
    return result.output
  }

  /// The help of every command is compared literally. With QTOOL_WRITE_HELP=1 the files are recorded instead.
  @Test func helpIsAsRecorded() throws {
    let overview = try help([])
    let list = try #require(overview.split(separator: "SUBCOMMANDS:\n").last)
    let commands = list.split(separator: "\n", omittingEmptySubsequences: false)
      .prefix { $0.hasPrefix("  ") }.compactMap { $0.firstMatch(of: /^  ([a-z]+)/).map { String($0.1) } }
    #expect(commands.count >= 15, "\(commands)")
    let texts =
      [("qtool", overview)]
      + (try commands.map { command in (command, try help([command])) })
    if ProcessInfo.processInfo.environment["QTOOL_WRITE_HELP"] != nil {
      try? FileManager.default.removeItem(at: folder)
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      for (name, text) in texts {
        try text.write(to: folder.appending(path: name + ".txt"), atomically: true, encoding: .utf8)
      }
    }
    let recorded = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    #expect(recorded == texts.map { $0.0 + ".txt" }.sorted())
    for (name, text) in texts {
      let file = try String(contentsOf: folder.appending(path: name + ".txt"), encoding: .utf8)
      guard file != text else { continue }
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
      let old = file.split(separator: "\n", omittingEmptySubsequences: false)
      let first = zip(lines, old).first { $0 != $1 }
      Issue.record(
        """
        the help of \(name) is not as recorded (QTOOL_WRITE_HELP=1 records it):
        \(first.map { "+ \($0.0)\n- \($0.1)" } ?? "\(lines.count) lines, \(old.count) recorded")
        """)
    }
  }

  @Test func helpNamesTheExitCodes() throws {
    #expect(try help([]).contains("65 bad data"))
  }

  /// Usage errors give one line and a hint on standard error.
  @Test func anUnknownCommandIsAUsageError() throws {
    let result = try qtool.run(["quantise"])
    #expect(result.status == 64)
    #expect(result.output.isEmpty)
    #expect(
      result.error
        == "qtool: quantise: no such command\nhint: did you mean quantize? qtool --help lists the commands\n")
  }

  @Test func anUnknownOptionIsAUsageError() throws {
    let result = try qtool.run(["quantize", "model", "--typ", "Q4_K_M", "-o", "out.gguf"])
    #expect(result.status == 64 && result.output.isEmpty)
    #expect(result.error.contains("--typ: no such option of quantize\nhint: did you mean --type?"), "\(result.error)")
  }

  /// A wrong value is reported, not a form of a flag beside it.
  @Test func aWrongValueBesideAFlag() throws {
    let result = try qtool.run(["quantize", "model", "--target", "5", "--no-feedback", "-o", "out.gguf"])
    #expect(result.status == 64 && result.output.isEmpty)
    #expect(result.error.contains("The value '5' is invalid for '--target <size>'"), "\(result.error)")
  }

  @Test func optionsThatContradictEachOther() throws {
    let result = try qtool.run(["quantize", "model", "--type", "Q4_K_M", "--target", "1GB", "-o", "out.gguf"])
    #expect(result.status == 64 && result.output.isEmpty)
    #expect(result.error.contains("several files need {mix} in their name"), "\(result.error)")
  }

  @Test(arguments: [
    ([], "give one of --target, --fit, --type, --preset and --recipe"),
    (["--type", "Q4_K_M", "--type", "q4_k_m"], "Q4_K_M is given twice"),
    (["--target", "2000MB", "--target", "2GB"], "2GB is given twice"),
  ])
  func badChoicesOfMixes(_ options: [String], _ message: String) throws {
    let result = try qtool.run(["quantize", "model"] + options + ["-o", "out-{mix}.gguf"])
    #expect(result.status == 64 && result.output.isEmpty)
    #expect(result.error.contains(message), "\(result.error)")
  }
}
