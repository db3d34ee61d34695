import Foundation
import TestSupport
import Testing

/// Tables from elsewhere, through the binary: a table that does not fit is refused with its reason, and nothing is written.
@Suite struct EvidenceInputTests {
  let qtool = Binary(beside: .module)
  let out: TemporaryDirectory
  init() throws { out = try TemporaryDirectory() }

  private func sensitivity(_ arguments: [String]) throws -> Binary.Result {
    try qtool.run(["sensitivity", Repository.demoModel, "-o", out.path("table.json")] + arguments)
  }

  private func file(_ name: String, _ text: String) throws -> String {
    try Data(text.utf8).write(to: URL(filePath: out.path(name)))
    return out.path(name)
  }

  @Test(arguments: [
    ("blk.77.attn_q.weight,IQ1_M,0.1", "1 of 2 names fit no tensor of demo-model: blk.77.attn_q.weight"),
    ("blk.1.attn_q.weight,IQ1_M,-3", "a value can't be a divergence: line 3: tensor blk.1.attn_q.weight: -3"),
  ]) func tablesThatFitInPartNeedLenient(line: String, message: String) throws {
    let table = try file("a.csv", "tensor,type,kld\nblk.0.attn_q.weight,IQ1_M,0.1\n\(line)\n")
    let refused = try sensitivity(["--import", table])
    #expect(refused.status == 65 && refused.error.contains("a.csv: \(message)"), "\(refused.error)")
    #expect(refused.error.contains("hint: --lenient") && out.contents == ["a.csv"], "\(refused.error)")
    let used = try sensitivity(["--import", table, "--lenient"])
    #expect(used.status == 0 && used.error.contains("a.csv"), "\(used.error)")
    let fitted = try qtool.run([
      "quantize", Repository.demoModel, "--target", "1.9MB", "--budget", "0", "--sensitivity", out.path("table.json"),
      "--dry-run",
    ])
    #expect(fitted.output.contains("evidence: published"), "\(fitted.output)\(fitted.error)")
  }

  @Test(arguments: [
    ("--import", "", "holds no measurements"),
    ("--import", "tensor,type,kld\nblk.0.attn_q.weight,IQ1_M,404\n", "holds no measurements"),
    ("--import", "tensor,type,kld\nblk.9.attn_z.weight,IQ1_M,1\n", "nothing in it fits demo-model"),
    ("--sibling", "", "is not a file of sensitivities"), ("--sibling", "{}", "is not a file of sensitivities"),
  ]) func tablesWithoutMeasurementsAreRefused(option: String, text: String, message: String) throws {
    let result = try sensitivity([option, try file("a.csv", text)])
    #expect(result.status == 65 && result.error.contains("a.csv: \(message)"), "\(result.error)")
    #expect(out.contents == ["a.csv"])
  }

  /// A sibling without some class is refused; --lenient takes the prior for it.
  @Test func siblingsWithOtherClassesNeedLenient() throws {
    let made = try sensitivity(["--budget", "0"])
    #expect(made.status == 0, "\(made.error)")
    let data = try Data(contentsOf: URL(filePath: out.path("table.json")))
    var json = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    let entries = try #require(json["entries"] as? [[String: Any]])
    json["entries"] = entries.filter { ($0["tensor"] as? String)?.contains("attn_v") == false }
    try JSONSerialization.data(withJSONObject: json).write(to: URL(filePath: out.path("sibling.json")))
    let refused = try sensitivity(["--sibling", out.path("sibling.json"), "--force"])
    let message = "sibling.json: has nothing about these classes of demo-model: attn_v"
    #expect(refused.status == 65 && refused.error.contains(message), "\(refused.error)")
    let used = try sensitivity(["--sibling", out.path("sibling.json"), "--force", "--lenient"])
    #expect(used.status == 0 && used.error.contains("attn_v"), "\(used.error)")
  }
}
