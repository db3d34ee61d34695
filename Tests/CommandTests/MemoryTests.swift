import Foundation
import TestSupport
import Testing

/// The resident set stays within `--memory`, as measured by the system.
@Suite(.serialized) struct MemoryTests {
  private static let qtool = Binary(beside: .module)
  private static let budget = 96 << 20

  /// The maximum of the peaks that a command prints for its stages, in bytes.
  private func peak(_ arguments: [String]) throws -> Double {
    let result = try Self.qtool.run(arguments)
    #expect(result.status == 0, "\(result.error)")
    let peaks = result.error.matches(of: /peak memory ([0-9.]+) MB/).compactMap { Double($0.1) }
    return try #require(peaks.max(), "\(result.error)") * 1e6
  }

  @Test func driftOfTwoCandidatesStaysWithinTheBudget() throws {
    let out = try TemporaryDirectory()
    for type in ["Q4_K_M", "Q2_K"] {
      let made = try Self.qtool.run([
        "quantize", "--no-feedback", Repository.demoModel, "--type", type, "-o", out.path("\(type).gguf"),
      ])
      #expect(made.status == 0, "\(made.error)")
    }
    let common = ["--text", Repository.calibration, "--chunks", "2", "--memory", "96MiB", "--scratch", out.path("")]
    let reference = out.path("base.qref")
    let runs = [
      ["drift", Repository.demoModel, out.path("Q4_K_M.gguf"), out.path("Q2_K.gguf"), "--save-reference", reference]
        + common,
      ["drift", reference, out.path("Q4_K_M.gguf"), out.path("Q2_K.gguf"), "--memory", "96MiB"],
      ["perplexity", out.path("Q2_K.gguf")] + common,
    ]
    for arguments in runs {
      #expect(try peak(arguments) <= Double(Self.budget), "\(arguments[0])")
    }
  }

  @Test func aBudgetThatIsTooSmallForScoringSaysWhatIsNeeded() throws {
    let text = Repository.calibration + "/code.txt"
    let result = try Self.qtool.run(
      ["perplexity", Repository.demoModel, "--text", text, "--chunks", "2", "--memory", "40MiB"])
    #expect(result.status == 64)
    let minimum = try #require(result.error.firstMatch(of: /pass --memory ([0-9]+)MiB or more/)?.1)
    let enough = try Self.qtool.run(
      ["perplexity", Repository.demoModel, "--text", text, "--chunks", "2", "--memory", "\(minimum)MiB"])
    #expect(enough.status == 0, "\(enough.error)")
  }
}
