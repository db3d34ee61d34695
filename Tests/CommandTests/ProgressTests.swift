import Foundation
import TestSupport
import Testing

/// Progress of long commands on standard error, without colours unless it is a terminal.
@Suite struct ProgressTests {
  private static let qtool = Binary(beside: .module)

  private static func commands(_ out: TemporaryDirectory) -> [[String]] {
    let text = Repository.root.path + "/Examples/held-out.txt"
    let one = ["--chunks", "1"]
    return [
      ["convert", Repository.demoModel, "-o", out.path("f16.gguf")],
      ["quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_K_M", "-o", out.path("q4.gguf")],
      ["imatrix", Repository.demoModel, "-o", out.path("imatrix.gguf")] + one,
      ["perplexity", out.path("q4.gguf"), "--text", text] + one,
      ["drift", out.path("f16.gguf"), out.path("q4.gguf"), "--text", text] + one,
      ["verify", out.path("q4.gguf")], ["diff", out.path("f16.gguf"), out.path("q4.gguf")],
      ["split", out.path("q4.gguf"), "--max-tensors", "20", "-o", out.path("shards.gguf")],
      ["merge", out.path("shards-00001-of-00002.gguf"), "-o", out.path("merged.gguf")],
    ]
  }

  @Test func everyStageLeavesOneLine() throws {
    let out = try TemporaryDirectory()
    for arguments in Self.commands(out) {
      let result = try Self.qtool.run(arguments)
      #expect(result.status == 0, "\(arguments) \(result.error)")
      let summaries = result.error.split(separator: "\n").filter {
        $0.contains(", peak memory ") && $0.contains(" in ")
      }
      #expect(!summaries.isEmpty, "\(arguments[0]): \(result.error)")
      for text in [result.error, result.output] { #expect(!text.contains("\u{1B}") && !text.contains("\r")) }
      #expect(!result.output.contains("peak memory"))
    }
  }

  @Test func quietIsQuiet() throws {
    let out = try TemporaryDirectory()
    for arguments in Self.commands(out) {
      let result = try Self.qtool.run(arguments + ["--quiet"])
      #expect(result.status == 0 && result.error.isEmpty, "\(arguments) \(result.error)")
      #expect(!result.output.isEmpty)
    }
  }

  /// On a terminal, of which `script` makes one, two lines are painted again and again, with colours unless NO_COLOR is set.
  @Test(arguments: [false, true]) func aTerminalIsPainted(_ noColor: Bool) throws {
    let script = URL(filePath: "/usr/bin/script")
    #if os(Linux)
      guard FileManager.default.isExecutableFile(atPath: script.path) else { return }
      let out = try TemporaryDirectory()
      let command = "'\(Self.qtool.url.path)' imatrix '\(Repository.demoModel)' -o '\(out.path("x.gguf"))' --chunks 8"
      let result = try Binary(url: script).run(
        ["-qec", "stty cols 60; " + command, "/dev/null"],
        environment: ["TERM": "xterm", "NO_COLOR": noColor ? "1" : ""])
      #expect(result.status == 0, "\(result.output)")
      #expect(result.output.contains("\u{1B}[1A\u{1B}[J"))
      #expect(result.output.contains("\u{1B}[2m") == !noColor)
      #expect(result.output.contains(", peak memory "))
      // A wrapped line could not be painted again.
      let painted = result.output.split(whereSeparator: \.isNewline).filter { $0.contains("━") || $0.contains("─") }
      for line in painted {
        let visible = line.replacing(/\u{1B}\[[0-9;]*[A-Za-z]/, with: "")
        #expect(visible.count < 60, "\(visible)")
      }
      #expect(!painted.isEmpty)
    #endif
  }
}
