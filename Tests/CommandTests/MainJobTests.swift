import Foundation
import GGUF
import TestSupport
import Testing

/// The main job on the demo model, through the binary.
@Suite struct MainJobTests {
  let qtool = Binary(beside: .module)

  private func bytes(_ path: String) throws -> Int {
    try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? 0
  }

  @Test func aModelIsFittedToASizeAndItsDriftMeasured() throws {
    let out = try TemporaryDirectory()
    let imatrix = out.path("demo.imatrix.gguf")
    let made = try qtool.run([
      "imatrix", Repository.demoModel, "--calibration", Repository.calibration, "-o", imatrix, "--quiet",
    ])
    #expect(made.status == 0, "\(made.error)")
    let targets = [("1.6MB", 1_600_000), ("2600 KiB", 2_662_400)]
    for (index, (target, limit)) in targets.enumerated() {
      let result = try qtool.run([
        "quantize", "--no-feedback", Repository.demoModel, "--target", target, "--imatrix", imatrix, "-o",
        out.path("\(index).gguf"),
        "--budget", "40s", "--no-search", "--quiet",
      ])
      #expect(result.status == 0, "\(result.error)")
      let size = try bytes(out.path("\(index).gguf"))
      #expect(size <= limit && Double(size) >= 0.99 * Double(limit), "\(target): \(size)")
      let metadata = try GGUFFile(path: out.path("\(index).gguf")).metadata
      #expect(metadata.optionalString("quantize.imatrix.file") == "demo.imatrix.gguf")
      #expect(metadata.optionalInt("general.quantization_version") == 2)
    }
    let drift = try qtool.run([
      "drift", Repository.demoModel, out.path("0.gguf"), out.path("1.gguf"), "--text",
      Repository.root.appending(path: "Examples/held-out.txt").path, "--csv", "--quiet",
    ])
    #expect(drift.status == 0, "\(drift.error)")
    let rows = drift.output.split(separator: "\n").map { $0.split(separator: ",") }
    let column = try #require(rows[0].firstIndex(of: "kld"))
    let divergence = rows.dropFirst().map { Double($0[column]) ?? .nan }
    // The larger file drifts by less than a quarter of the smaller one's drift.
    #expect(divergence[0] > 0.05 && divergence[0] < 0.25, "\(drift.output)")
    #expect(divergence[1] > 0 && divergence[1] < divergence[0] / 4, "\(drift.output)")
  }

  /// The sizes that a refusal names are the sizes of real files.
  @Test func theSmallestAndTheLargestFile() throws {
    let out = try TemporaryDirectory()
    let text = out.path("text.txt")
    try (0..<300).map { "Sentence number \($0) is written for this test alone, and says little.\n" }.joined()
      .write(toFile: text, atomically: true, encoding: .utf8)
    func quantize(_ target: Int, _ more: [String] = []) throws -> Binary.Result {
      try qtool.run(
        ["quantize", Repository.demoModel, "--target", "\(target)B", "--calibration", text, "--no-importance"]
          + ["--no-search", "--force", "-o", out.path("a.gguf"), "--quiet"] + more)
    }
    let refused = try quantize(1000)
    #expect(refused.status == 64 || refused.status == 65, "\(refused.error)")
    let sizes = try #require(
      refused.error.firstMatch(of: /smallest file has (\d+), the largest (\d+)/), "\(refused.error)")
    let (smallest, largest) = (try #require(Int(sizes.1)), try #require(Int(sizes.2)))
    for target in [smallest, smallest + 1, largest] {
      let result = try quantize(target)
      #expect(result.status == 0, "\(target): \(result.error)")
      #expect(try bytes(out.path("a.gguf")) == (target == largest ? largest : smallest), "\(target)")
    }
    for target in [smallest - 1, largest + 1] { #expect(try quantize(target).status == refused.status, "\(target)") }
    // Padding is included.
    let wide = try quantize(smallest, ["--override-kv", "general.alignment=int:4096"])
    #expect(wide.status == refused.status, "\(wide.error)")
  }

  @Test(arguments: [("Q4_K_M", 2_683_264), ("Q3_K_M", 2_242_432), ("Q2_K", 1_824_640), ("Q8_0", 4_526_976)])
  func stockMixesHaveLlamaQuantizesSizes(name: String, expected: Int) throws {
    // Sizes of llama-quantize's files of the same model; metadata differs by a few keys.
    let out = try TemporaryDirectory()
    let result = try qtool.run([
      "quantize", "--no-feedback", Repository.demoModel, "--type", name, "-o", out.path("out.gguf"), "--quiet",
    ])
    #expect(result.status == 0, "\(result.error)")
    #expect(abs(try bytes(out.path("out.gguf")) - expected) < 512)
  }

  @Test func aDryRunWritesNothing() throws {
    let out = try TemporaryDirectory()
    let result = try qtool.run([
      "quantize", Repository.demoModel, "--type", "Q4_K_M", "--dry-run", "-o", out.path("a.gguf"),
    ])
    #expect(result.status == 0)
    #expect(result.output.contains("blk.3.ffn_down.weight") && result.output.contains("bits per weight"))
    #expect(out.contents.isEmpty)
  }

  @Test func bytesDoNotDependOnThreads() throws {
    let files = try ["1", "2"].map { threads in
      // A folder each, since the second run would reuse the first one's measurements.
      let out = try TemporaryDirectory()
      let result = try qtool.run([
        "quantize", "--no-feedback", Repository.demoModel, "--target", "2.0MB", "--calibration",
        Repository.calibration + "/news.txt",
        "--no-search", "--threads", threads, "-o", out.path("a.gguf"), "--quiet",
      ])
      #expect(result.status == 0, "\(result.error)")
      return try Data(contentsOf: out.url.appending(path: "a.gguf"))
    }
    #expect(files[0] == files[1])
  }

  @Test func convertingAConvertedModelChangesNothing() throws {
    let out = try TemporaryDirectory()
    for (from, to) in [(Repository.demoModel, "a.gguf"), (out.path("a.gguf"), "b.gguf")] {
      #expect(try qtool.run(["convert", from, "-o", out.path(to), "--quiet"]).status == 0)
    }
    #expect(
      try Data(contentsOf: out.url.appending(path: "a.gguf")) == Data(contentsOf: out.url.appending(path: "b.gguf")))
  }
}
