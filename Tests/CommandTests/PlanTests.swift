import Foundation
import TestSupport
import Testing

/// `qtool plan` and `qtool quantize --fit`, through the binary.
@Suite struct PlanTests {
  let qtool = Binary(beside: .module)

  private func json(_ arguments: [String]) throws -> [String: Any] {
    let result = try qtool.run(["plan"] + arguments + ["--json"])
    #expect(result.status == 0, "\(result.error)")
    return try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
  }

  private func config(_ change: (String) -> String) throws -> TemporaryDirectory {
    let out = try TemporaryDirectory()
    let text = try String(contentsOfFile: Repository.demoModel + "/config.json", encoding: .utf8)
    try change(text).write(toFile: out.path("config.json"), atomically: true, encoding: .utf8)
    return out
  }

  @Test func aModelByName() throws {
    let result = try qtool.run(["plan", "DeepSeek-R1", "--machine", "m3-ultra-256", "--context", "32k"])
    #expect(result.status == 0 && result.error.isEmpty, "\(result.error)")
    let lines = result.output.split(separator: "\n")
    #expect(lines.allSatisfy { $0.count <= 100 }, "\(result.output)")
    #expect(lines.count { $0.contains("◀ best") } == 1)
    for part in ["old form 163.7 GB", "largest file that fits", "Ollama: ", "LM Studio: ", "MLX: ", "b5215"] {
      #expect(result.output.contains(part), "\(part) in \(result.output)")
    }
  }

  /// A model that a machine holds needs no smaller file, which --fit would refuse to make.
  @Test func aModelThatFitsAsItIs() throws {
    let result = try qtool.run(["plan", Repository.demoModel, "--machine", "m3-ultra-256"])
    #expect(result.output.contains("; the model fits as it is") && !result.output.contains("--fit"), "\(result.output)")
    let large = try qtool.run(["plan", "DeepSeek-R1", "--machine", "m3-ultra-256"])
    #expect(large.output.contains("quantize MODEL --fit m3-ultra-256") && !large.output.contains("fits as it is"))
  }

  @Test func figuresAsJSON() throws {
    let plan = try json(
      ["Llama-3.3-70B", "--machine", "m3-ultra-256", "--context", "32768", "--kv", "q8_0", "--target", "50GB"])
    let rows = try #require(plan["rows"] as? [[String: Any]])
    let row = try #require(rows.first { $0["name"] as? String == "Q4_K_M" })
    #expect(row["file_bytes"] as? Int == 42_520_398_528)
    #expect(row["fits"] as? Bool == true)
    #expect((plan["cache"] as? [String: Any])?["bytes"] as? Int == 174_080 * 32_768)
    #expect(rows.contains { $0["name"] as? String == "target" && $0["file_bytes"] as? Int == 50_000_000_000 })
    #expect(rows.count { $0["is_best"] as? Bool == true } == 1)
  }

  /// A directory, its config.json, its GGUF and that file's first bytes have the same plan.
  @Test func oneModelInFourForms() throws {
    let out = try TemporaryDirectory()
    #expect(try qtool.run(["convert", Repository.demoModel, "-o", out.path("a.gguf"), "--quiet"]).status == 0)
    try Data(try Data(contentsOf: out.url.appending(path: "a.gguf")).prefix(100_000))
      .write(to: out.url.appending(path: "cut.gguf"))
    let empty = try config { $0 }
    var sizes: [[Int]] = []
    for path in [Repository.demoModel, empty.path("config.json"), out.path("a.gguf"), out.path("cut.gguf")] {
      let plan = try json([path, "--machine", "h100", "--type", "Q4_K_M", "Q8_0", "IQ2_XS"])
      let rows = try #require(plan["rows"] as? [[String: Any]])
      sizes.append(rows.filter { $0["kind"] as? String == "stock" }.compactMap { $0["tensor_bytes"] as? Int })
    }
    #expect(sizes[0].count == 3 && sizes.allSatisfy { $0 == sizes[0] }, "\(sizes)")
    // The file has exactly the planned size.
    let plan = try json([out.path("a.gguf"), "--machine", "h100", "--type", "Q4_K_M"])
    #expect(
      try qtool.run([
        "quantize", "--no-feedback", out.path("a.gguf"), "--type", "Q4_K_M", "-o", out.path("q.gguf"), "--quiet",
      ]).status
        == 0)
    let q = try json([out.path("q.gguf"), "--machine", "h100", "--type", "Q8_0"])
    let own = try #require((q["rows"] as? [[String: Any]])?.first { $0["kind"] as? String == "own" })
    let row = try #require((plan["rows"] as? [[String: Any]])?.first)
    #expect(own["tensor_bytes"] as? Int == row["tensor_bytes"] as? Int)
  }

  @Test func listNamesModelsAndMachines() throws {
    let result = try qtool.run(["plan", "--list"])
    #expect(result.status == 0)
    #expect(result.output.split(separator: "\n").allSatisfy { $0.count <= 100 }, "\(result.output)")
    for part in ["Llama-3.1-405B", "Magnum-v4-123B", "DeepSeek-V3", "m3-ultra-256", "h100", "Sources:"] {
      #expect(result.output.contains(part), "\(part)")
    }
  }

  @Test func aMachineThatFitsNothing() throws {
    let result = try qtool.run(["plan", "DeepSeek-R1", "--machine", "rtx-4090"])
    #expect(result.status == 1)
    #expect(result.output.contains("IQ1_S"))
    for part in ["nothing fits", "IQ1_S of 133.7 GB", "needs", "24.96 GB are usable", "hint: "] {
      #expect(result.error.contains(part), "\(part) in \(result.error)")
    }
  }

  @Test func aContextBeyondTheTrainingLength() throws {
    let yarn = try qtool.run([
      "plan", "DeepSeek-R1", "--machine", "m3-ultra-512", "--context", "200k", "--type", "Q2_K",
    ])
    #expect(yarn.status == 0)
    #expect(yarn.error.contains("beyond the 163,840 tokens") && yarn.error.contains("yarn by 40 over 4096"))
    let plain = try qtool.run([
      "plan", "Qwen2.5-72B", "--machine", "m3-ultra-512", "--context", "40k", "--type", "Q2_K",
    ])
    #expect(plain.error.contains("beyond the 32,768 tokens") && plain.error.contains("no rope scaling"))
  }

  @Test func theOldFormOfLatentAttentionIsWarnedOf() throws {
    let result = try qtool.run(
      ["plan", "DeepSeek-R1", "--old-mla", "--machine", "m3-ultra-512", "--type", "ud-iq1_s"])
    #expect(result.status == 0)
    #expect(result.error.contains("old form of latent attention") && result.error.contains("71 times larger"))
    #expect(result.output.contains("140,226,135,552") && result.output.contains("current form 575.7 MB"))
  }

  /// The declared quantization counts only without weights: those beside it may be plain.
  @Test func aDeclaredMethodBesidePlainWeights() throws {
    let model = try ReferenceModel.copy("llama2")
    try model.set("quantization_config", ["quant_method": "awq", "bits": 4])
    let arguments = ["--machine", "m3-ultra-512", "--type", "Q4_K_M", "--json"]
    for path in [model.path, model.directory.path("config.json")] {
      let result = try qtool.run(["plan", path] + arguments)
      #expect(result.status == 0, "\(result.error)")
    }
    // A file of another name is not that of the weights.
    let other = model.directory.path("other.json")
    try FileManager.default.copyItem(atPath: model.directory.path("config.json"), toPath: other)
    let alone = try qtool.run(["plan", other] + arguments)
    #expect(alone.status == 65 && alone.error.contains("declares weights packed with AWQ"), "\(alone.error)")
    try FileManager.default.removeItem(atPath: model.directory.path("model.safetensors"))
    for path in [model.path, model.directory.path("config.json")] {
      let result = try qtool.run(["plan", path] + arguments)
      #expect(result.status == 65 && result.error.contains("declares weights packed with AWQ"), "\(result.error)")
    }
  }

  @Test func configsThatLackSomething() throws {
    let without = try config { $0.replacing(/"hidden_size": *\d+,/, with: "") }
    let missing = try qtool.run(["plan", without.path("config.json")])
    #expect(missing.status == 65 && missing.error.contains("config.json: key hidden_size: is missing"), "\(missing)")
    let other = try config { $0.replacing("LlamaForCausalLM", with: "FooForCausalLM") }
    let unknown = try qtool.run(["plan", other.path("config.json")])
    #expect(unknown.status == 65)
    for part in ["FooForCausalLM", "looks for hidden_size, num_hidden_layers", "converting.md lists the known ones"] {
      #expect(unknown.error.contains(part), "\(unknown.error)")
    }
  }

  @Test(arguments: [
    (["plan", "no-such-model"], 66, "no-such-model"), (["plan"], 64, "--list"),
    (["plan", "Llama-3.3-70B", "--machine", "m9"], 64, "m3-ultra-256"),
    (["plan", "Llama-3.3-70B", "--type", "Q9_K"], 64, "Q9_K"),
    (["plan", "Llama-3.3-70B", "--bandwidth", "819GB"], 64, "bandwidth"),
    (["plan", "Llama-3.3-70B", "--memory", "256"], 64, "memory"),
    (["plan", "Llama-3.3-70B", "--old-mla", "--machine", "h100"], 64, "no latent attention"),
    (["quantize", "x", "--context", "8k", "--type", "Q8_0", "-o", "y"], 64, "--fit"),
  ])
  func badUsage(arguments: [String], status: Int32, part: String) throws {
    let result = try qtool.run(arguments)
    #expect(result.status == status && result.error.contains(part), "\(result.error)")
    #expect(result.output.isEmpty)
  }

  @Test func figuresOfAMachineOfOnesOwn() throws {
    let plan = try json(
      ["Llama-3.3-70B", "--memory", "256GB", "--bandwidth", "819GB/s", "--reserve", "12GB", "--type", "Q4_K_M"])
    let machine = try #require(plan["machine"] as? [String: Any])
    #expect(machine["usable_bytes"] as? Int == 244_000_000_000)
    #expect(machine["bandwidth_bytes_per_second"] as? Double == 819e9)
  }

  /// A context that leaves about 3 MB on the machine gives a file of about 3 MB; a note on the model, which is opened twice,
  /// appears once.
  @Test func quantizeFillsAMachine() throws {
    let model = try DemoCopy()
    try model.set("zeta", 1)
    func largest(_ context: Int) throws -> Int {
      let plan = try json(
        [model.path, "--machine", "rtx-4090", "--context", "\(context)", "--type", "Q4_K_M"])
      return try #require(plan["largest_file_bytes"] as? Int)
    }
    let (low, high) = (1 << 18, 1 << 19)
    let (first, second) = (try largest(low), try largest(high))
    let perToken = (first - second) / (high - low)
    let context = (low + (first - 3_200_000) / perToken) / 256 * 256
    let size = try largest(context)
    #expect(size > 2_500_000 && size < 5_000_000)
    let out = try TemporaryDirectory()
    let result = try qtool.run([
      "quantize", model.path, "--fit", "rtx-4090", "--context", "\(context)", "--no-importance",
      "--no-search", "--budget", "20s", "-o",
      out.path("f.gguf"),
    ])
    #expect(result.status == 0, "\(result.error)")
    let bytes = try Data(contentsOf: out.url.appending(path: "f.gguf")).count
    #expect(bytes <= size && bytes > size / 10 * 9, "\(bytes) of \(size)")
    for part in ["holds a file of", "llama.cpp: build", "Ollama: ", "MLX: no: "] {
      #expect(result.error.contains(part), "\(part) in \(result.error)")
    }
    #expect(result.error.components(separatedBy: "1 key that qtool does not know: zeta").count == 2, "\(result.error)")
  }

  @Test func aModelThatFitsAsItIsHasNoTarget() throws {
    let out = try TemporaryDirectory()
    let result = try qtool.run([
      "quantize", Repository.demoModel, "--fit", "m3-ultra-256", "--no-importance", "--budget", "0", "--quiet", "-o",
      out.path("f.gguf"),
    ])
    #expect(result.status == 64 && result.error.contains("256 GB holds the unchanged model, of 8,4"), "\(result.error)")
    #expect(out.contents.isEmpty)
  }

  @Test func quantizeRefusesAMachineThatFitsNothing() throws {
    let out = try TemporaryDirectory()
    let result = try qtool.run([
      "quantize", "--no-feedback", Repository.demoModel, "--fit", "rtx-4090", "--context", "16000000", "-o",
      out.path("f.gguf"),
      "--quiet",
    ])
    #expect(result.status == 1 && result.error.contains("nothing fits NVIDIA RTX 4090"), "\(result.error)")
    #expect(out.contents.isEmpty)
  }

  /// The header that a conversion has, and the whole file that a quantization has: vocabularies are padded, and recipes
  /// counted.
  @Test(arguments: ["gemma4-shared", "qwen35", "gpt-oss-mxfp4", "llama2"]) func plannedFilesHaveTheirSize(name: String)
    throws
  {
    let out = try TemporaryDirectory()
    let model = try ReferenceModel.copy(name)
    try FileManager.default.createDirectory(atPath: out.path("shapes"), withIntermediateDirectories: true)
    for file in try FileManager.default.contentsOfDirectory(atPath: model.path) where !file.hasSuffix(".safetensors") {
      try FileManager.default.copyItem(atPath: model.path + "/" + file, toPath: out.path("shapes/" + file))
    }
    // The folder's name is the model's.
    try FileManager.default.copyItem(atPath: model.path, toPath: out.path("weights"))
    for (folder, other) in [("weights", ""), ("shapes", "weights")] {
      if !other.isEmpty {
        try FileManager.default.removeItem(atPath: out.path(other))
        try FileManager.default.moveItem(atPath: out.path(folder), toPath: out.path(other))
      }
      let path = out.path(other.isEmpty ? folder : other)
      let plan = try json([path, "--machine", "h100", "--context", "64", "--no-importance"])
      #expect(plan["metadata_kind"] as? String == "exact")
      let rows = try #require(plan["rows"] as? [[String: Any]])
      for mix in ["Q8_0", "Q4_K_M", "F16"] {
        let row = try #require(rows.first { $0["name"] as? String == mix })
        let file = out.path(mix + ".gguf")
        if folder == "weights" {
          let result = try qtool.run([
            "quantize", path, "--type", mix, "--no-importance", "--no-feedback", "-o", file, "--quiet",
          ])
          #expect(result.status == 0, "\(result.error)")
        }
        #expect(row["file_bytes"] as? Int == (try Data(contentsOf: URL(filePath: file)).count), "\(folder) \(mix)")
      }
      let file = out.path("convert.gguf")
      if folder == "weights" {
        #expect(try qtool.run(["convert", path, "-o", file, "--quiet"]).status == 0)
      }
      let converted = try json([file, "--machine", "h100", "--context", "64"])
      let own = try #require((converted["rows"] as? [[String: Any]])?.first { $0["kind"] as? String == "own" })
      let bytes = try Data(contentsOf: URL(filePath: file)).count
      #expect(own["file_bytes"] as? Int == bytes)
      #expect(plan["metadata_bytes"] as? Int == bytes - (try #require(own["tensor_bytes"] as? Int)), "\(folder)")
    }
  }

  /// Blocks for multi-token prediction: as many as are stored or, without weights, as many as are declared.
  @Test func predictionIsCountedIfItIsStored() throws {
    let model = try ReferenceModel.copy("qwen35")
    func weights(_ path: String, _ more: String...) throws -> (Int, String) {
      let result = try qtool.run(["plan", path, "--machine", "h100", "--json", "--type", "F16"] + more)
      #expect(result.status == 0, "\(result.error)")
      let plan = try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
      return (try #require((plan["model"] as? [String: Any])?["weights"] as? Int), result.error)
    }
    let config = model.path + "/config.json"
    let line =
      "config.json declares 1 block for multi-token prediction, which the sizes include; --no-mtp leaves them out"
    let (whole, said) = try weights(model.path)
    #expect(!said.contains("multi-token"), "\(said)")
    let (declared, note) = try weights(config)
    #expect(declared == whole && note.contains(line), "\(note)")
    let (without, silent) = try weights(config, "--no-mtp")
    #expect(without < whole && !silent.contains("multi-token"), "\(silent)")
    try model.edit { content in
      for name in content.names where name.hasPrefix("mtp.") { content[name] = nil }
    }
    let (stored, error) = try weights(model.path)
    #expect(stored == without && error.contains("declares 1 block for multi-token prediction"), "\(error)")
    // A shard is missing: config.json alone is planned, and a line says so.
    try Data("version https://git-lfs.github.com/spec/v1\n".utf8).write(
      to: URL(filePath: model.path + "/model.safetensors"))
    let (fallback, reason) = try weights(model.path)
    #expect(fallback == whole && reason.contains("planned from config.json alone: "), "\(reason)")
    #expect(reason.contains("model.safetensors: is a Git LFS pointer") && reason.contains(line), "\(reason)")
  }

  @Test func blocksOfAGGUFCannotBeLeftOut() throws {
    let out = try TemporaryDirectory()
    let model = try ReferenceModel.copy("qwen35")
    #expect(try qtool.run(["convert", model.path, "-o", out.path("a.gguf"), "--quiet"]).status == 0)
    let result = try qtool.run(["plan", out.path("a.gguf"), "--no-mtp", "--machine", "h100"])
    #expect(result.status == 64 && result.output.isEmpty, "\(result.error)")
    #expect(result.error.contains("a.gguf: --no-mtp: applies to directories"), "\(result.error)")
  }

  /// Methods whose weights convert refuses.
  @Test func packedWeightsHaveNoPlan() throws {
    let out = try config {
      $0.replacing("{", with: "{\"quantization_config\": {\"quant_method\": \"awq\"},", maxReplacements: 1)
    }
    for source in [out.url.path, out.path("config.json")] {
      let result = try qtool.run(["plan", source, "--machine", "h100"])
      #expect(result.status == 65 && result.output.isEmpty, "\(result.error)")
      #expect(result.error.contains("key quantization_config: declares weights packed with AWQ"), "\(result.error)")
    }
  }
}
