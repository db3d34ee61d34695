import Foundation
import TestSupport
import Testing

@Suite struct UsageTests {
  let qtool = Binary(beside: .module)

  @Test func helpNamesTheExitCodes() throws {
    let result = try qtool.run(["--help"])
    #expect(result.status == 0)
    #expect(result.output.contains("65 bad data"))
  }

  @Test func anUnknownCommandIsAUsageError() throws {
    let result = try qtool.run(["quantise"])
    #expect(result.status == 64)
    #expect(result.output.isEmpty)
  }

  /// Perplexity is printed in four digits behind the point; engines differ below that.
  @Test func bothProductEnginesScoreAlike() throws {
    let arguments = [
      "perplexity", Repository.demoModel, "--text", Repository.root.appending(path: "Examples/held-out.txt").path,
      "--chunks", "2", "--quiet",
    ]
    let results = try ["packed", "blas"].map { try qtool.run(arguments, environment: ["QTOOL_PRODUCT": $0]) }
    #expect(results.allSatisfy { $0.status == 0 })
    #expect(results[0].output == results[1].output)
  }

  @Test func anUnknownProductEngineIsAUsageError() throws {
    let result = try qtool.run(
      ["perplexity", Repository.demoModel, "--text", Repository.root.appending(path: "Examples/held-out.txt").path],
      environment: ["QTOOL_PRODUCT": "abacus"])
    #expect(result.status == 64)
    #expect(
      result.error == """
        qtool: QTOOL_PRODUCT names an unknown engine, abacus
        hint: set it to packed or blas, or leave it unset

        """)
  }
}
