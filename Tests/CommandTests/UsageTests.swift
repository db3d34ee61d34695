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
}
