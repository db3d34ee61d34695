import Foundation
import GGUF
import TestSupport
import Testing

/// Mixes by name, recipe, preset and constraint, through the binary.
@Suite struct MixTests {
  let qtool = Binary(beside: .module)

  private func types(_ path: String) throws -> [String: String] {
    Dictionary(uniqueKeysWithValues: try GGUFFile(path: path).tensors.map { ($0.name, $0.type.name) })
  }

  private func run(_ arguments: [String]) throws -> Binary.Result {
    let result = try qtool.run(arguments + ["--quiet"])
    #expect(result.status == 0, "\(result.error)")
    return result
  }

  @Test func aRecipeComesBackFromTheFileItMade() throws {
    let out = try TemporaryDirectory()
    try """
    name: mine
    base: Q3_K
    rules:
      - ^output\\.weight=Q6_K
      - blk\\.[01]\\.ffn_down=Q5_K
      - attn_v=Q8_0
    """.write(toFile: out.path("r.yaml"), atomically: true, encoding: .utf8)
    _ = try run([
      "quantize", "--no-feedback", Repository.demoModel, "--recipe", out.path("r.yaml"), "-o", out.path("1.gguf"),
    ])
    let found = try qtool.run(["explain", out.path("1.gguf"), "--recipe"])
    #expect(found.status == 0)
    try found.output.write(toFile: out.path("again.yaml"), atomically: true, encoding: .utf8)
    _ = try run([
      "quantize", "--no-feedback", Repository.demoModel, "--recipe", out.path("again.yaml"), "-o", out.path("2.gguf"),
    ])
    let one = try types(out.path("1.gguf"))
    #expect(one["blk.1.ffn_down.weight"] == "Q5_K" && one["blk.2.attn_v.weight"] == "Q8_0")
    #expect(one == (try types(out.path("2.gguf"))))
    // The tensors are equal; only the recipe's name differs.
    let metadata = try GGUFFile(path: out.path("1.gguf")).metadata
    #expect(metadata.optionalString("quantize.recipe")?.hasPrefix("name: mine") == true)
    #expect(metadata.optionalString("quantize.source.fingerprint")?.count == 64)
    #expect(!metadata.values.contains { "\($0)".contains(out.url.path) })
  }

  @Test func explainNamesTheNearestStockMix() throws {
    let out = try TemporaryDirectory()
    _ = try run([
      "quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_K_M", "--pin", "attn_v=Q8_0", "-o",
      out.path("a.gguf"),
    ])
    let result = try qtool.run(["explain", out.path("a.gguf")])
    #expect(
      result.output.contains("mix: Q4_K_M") && result.output.contains("\\.attn_v\\.weight=Q8_0"), "\(result.output)")
    #expect(result.output.contains("nearest stock mix: Q4_K_M") && result.output.contains("gives these types"))
  }

  @Test func constraintsHoldInEveryMode() throws {
    let out = try TemporaryDirectory()
    let constraints = ["--pin", "blk.0.attn_q=Q8_0", "--floor", "ffn_down=Q5_K", "--exclude-type", "Q6_K,Q3_K"]
    for (index, mode) in [
      ["--type", "Q3_K_M"], ["--preset", "ud-q2_k"],
      ["--target", "2.9MB", "--no-importance", "--no-search", "--budget", "20s"],
    ].enumerated() {
      let path = out.path("\(index).gguf")
      _ = try run(["quantize", "--no-feedback", Repository.demoModel, "-o", path] + mode + constraints)
      let types = try types(path)
      #expect(types["blk.0.attn_q.weight"] == "Q8_0", "\(mode)")
      #expect(!types.values.contains("Q6_K") && !types.values.contains("Q3_K"), "\(mode): \(types)")
      for layer in 0..<4 {
        #expect(["Q5_K", "Q5_0", "Q5_1", "Q8_0"].contains(types["blk.\(layer).ffn_down.weight"]!), "\(mode): \(types)")
      }
    }
  }

  @Test func layersArePrunedAndKeysOverridden() throws {
    let out = try TemporaryDirectory()
    _ = try run([
      "quantize", "--no-feedback", Repository.demoModel, "--type", "Q8_0", "--prune-layers", "1,2", "--override-kv",
      "general.name=str:Half a demo", "--override-kv", "llama.context_length=int:77", "--output-tensor-type", "F16",
      "-o", out.path("a.gguf"),
    ])
    let file = try GGUFFile(path: out.path("a.gguf"))
    #expect(file.metadata.optionalInt("llama.block_count") == 2)
    #expect(file.metadata.optionalString("general.name") == "Half a demo")
    #expect(file.metadata.optionalInt("llama.context_length") == 77)
    #expect(Set(file.tensors.compactMap { $0.name.split(separator: ".").dropFirst().first }).contains("1"))
    #expect(!file.tensors.contains { $0.name.hasPrefix("blk.2.") })
    #expect(file.tensor(named: "output.weight")?.type.name == "F16")
    let pair = try GGUFFile(path: out.path("a.gguf"))
    #expect(pair.tensors.count == 2 * 9 + 3)
  }

  @Test func copyingKeepsEveryType() throws {
    let out = try TemporaryDirectory()
    _ = try run(["quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_K_M", "-o", out.path("a.gguf")])
    _ = try run(["quantize", out.path("a.gguf"), "--type", "COPY", "-o", out.path("b.gguf")])
    #expect(try types(out.path("a.gguf")) == types(out.path("b.gguf")))
  }

  /// Sensitivities are measured once and serve any target; the file determines the types.
  @Test func sensitivitiesAreUsedAgain() throws {
    let out = try TemporaryDirectory()
    let text = out.path("text.txt")
    try (0..<400).map { "Sentence number \($0) is written for this test alone, and says little.\n" }.joined()
      .write(toFile: text, atomically: true, encoding: .utf8)
    let made = try run([
      "sensitivity", Repository.demoModel, "--calibration", text, "--no-importance", "-o", out.path("s.json"),
    ])
    #expect(made.output.contains("30 probes") && made.output.contains("ffn_down.weight"), "\(made.output)")
    #expect(out.contents == ["s.json", "text.txt"])
    // Makes one small matrix worth more than all others.
    let precious = "blk.2.attn_k.weight"
    var table = try #require(
      JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: out.path("s.json")))) as? [String: Any])
    var entries = try #require(table["entries"] as? [[String: Any]])
    let index = try #require(entries.firstIndex { $0["tensor"] as? String == precious })
    entries[index]["coefficient"] = 1e9
    table["entries"] = entries
    try JSONSerialization.data(withJSONObject: table).write(to: URL(filePath: out.path("s.json")))
    for target in ["1.9MB", "3.1MB"] {
      let result = try run([
        "quantize", Repository.demoModel, "--target", target, "--sensitivity", out.path("s.json"),
        "--no-importance", "--budget", "0", "-o", out.path(target),
      ])
      #expect(result.output.contains("evidence: measured"), "\(result.output)")
      let size = try FileManager.default.attributesOfItem(atPath: out.path(target))[.size] as? Int ?? 0
      let limit = target == "1.9MB" ? 1_900_000 : 3_100_000
      #expect(size <= limit && Double(size) > 0.995 * Double(limit), "\(size)")
      let types = try types(out.path(target))
      #expect(types[precious] == "F16" && types["blk.1.attn_k.weight"] != "F16", "\(types)")
    }
    #expect(out.contents == ["1.9MB", "3.1MB", "s.json", "text.txt"])
  }

  /// Types follow the given sensitivities. A text of one window leaves none for a comparison: the allocation is written, and
  /// the report has no comparison and says what is missing.
  @Test func givenSensitivitiesDecide() throws {
    let out = try TemporaryDirectory()
    let text = out.path("text.txt")
    try (0..<30).map { "Sentence number \($0) is written for this test alone, and says little.\n" }.joined()
      .write(toFile: text, atomically: true, encoding: .utf8)
    let common = ["--calibration", text, "--no-importance"]
    _ = try run(["sensitivity", Repository.demoModel, "--bands", "1", "-o", out.path("plain.json")] + common)
    let data = try Data(contentsOf: out.url.appending(path: "plain.json"))
    var table = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    let entries = try #require(table["entries"] as? [[String: Any]])
    table["entries"] = entries.map { entry in
      var entry = entry
      if let name = entry["tensor"] as? String, name.contains("attn_v") { entry["coefficient"] = 1e6 }
      return entry
    }
    try JSONSerialization.data(withJSONObject: table).write(to: out.url.appending(path: "raised.json"))
    var found: [String: [String: String]] = [:]
    for name in ["plain", "raised"] {
      let result = try run(
        [
          "quantize", "--no-feedback", Repository.demoModel, "--target", "1.9MB", "--sensitivity",
          out.path(name + ".json"),
        ]
          + ["-o", out.path(name + ".gguf")] + common)
      #expect(
        result.output.contains(
          "no search and no comparison with stock mixes: the calibration text has 1 window of 512 tokens, but 3 are "),
        "\(result.output)")
      #expect(!result.output.contains("KLD"), "\(result.output)")
      found[name] = try types(out.path(name + ".gguf"))
    }
    for layer in 0..<4 {
      #expect(found["raised"]?["blk.\(layer).attn_v.weight"] == "F16")
      #expect(found["plain"]?["blk.\(layer).attn_v.weight"] != "F16")
    }
  }
}
