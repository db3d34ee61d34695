import Foundation
import TestSupport
import Testing

/// MLX directories through the binary, of the demo model.
@Suite(.serialized) struct MLXCommandTests {
  let qtool = Binary(beside: .module)

  private func run(_ arguments: [String], status: Int32 = 0) throws -> Binary.Result {
    let result = try qtool.run(arguments)
    #expect(result.status == status, "\(arguments): \(result.error)")
    return result
  }

  private func quantize(_ path: String, _ options: [String], status: Int32 = 0) throws -> Binary.Result {
    try run(["quantize", Repository.demoModel, "--format", "mlx", "-o", path] + options, status: status)
  }

  private static func size(of folder: String) throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: folder).reduce(0) { sum, name in
      sum + (try FileManager.default.attributesOfItem(atPath: folder + "/" + name)[.size] as? Int ?? 0)
    }
  }

  private func drifts(_ paths: [String]) throws -> [Double] {
    let text = Repository.root.appending(path: "Examples/held-out.txt").path
    let output = try run(["drift", Repository.demoModel] + paths + ["--text", text, "--chunks", "2", "--csv", "-q"])
      .output
    let lines = output.split(separator: "\n").map { $0.split(separator: ",", omittingEmptySubsequences: false) }
    let column = try #require(lines.first?.firstIndex(of: "kld"))
    return try paths.map { path in
      let line = try #require(lines.first { line in line.contains { !$0.isEmpty && path.hasSuffix($0) } })
      return try #require(Double(line[column]))
    }
  }

  @Test func sizesAreMadeOfTheOnlyTypesAllowed() throws {
    let out = try TemporaryDirectory()
    let options = ["--target", "2.9MB", "--budget", "0", "--no-importance", "--no-feedback", "-q"]
    _ = try quantize(out.path("a"), options + ["--only-types", "4bit,6bit/32"])
    #expect(try Self.size(of: out.path("a")) <= 2_900_000)
    let inspected = try run(["inspect", out.path("a")]).output
    #expect(inspected.contains("4bit/64-f16") && inspected.contains("6bit/32-f16"), "\(inspected)")
    for other in ["3bit", "5bit", "8bit", "4bit/32"] { #expect(!inspected.contains(other), "\(inspected)") }
  }

  @Test func partsOfADirectoryAreRefused() throws {
    let out = try TemporaryDirectory()
    let refused = try quantize(
      out.path("a"), ["--type", "4bit", "--no-importance", "--no-feedback", "--part", "1/2"], status: 64)
    #expect(refused.error.contains("--part: parts are written of GGUF files") && refused.error.contains("one process"))
    #expect(out.contents == [])
  }

  @Test func directoriesAreReadAsModels() throws {
    let out = try TemporaryDirectory()
    let (plain, searched) = (out.path("plain"), out.path("searched"))
    _ = try quantize(plain, ["--type", "3bit-plain", "--no-importance", "--no-feedback", "-q"])
    _ = try quantize(searched + "/", ["--type", "3bit", "--no-importance", "--no-feedback", "--checksums", "-q"])
    #expect(out.contents == ["plain", "searched", "searched.sha256"])
    let drifts = try drifts([plain, searched])
    #expect(drifts[1] < 0.85 * drifts[0], "\(drifts)")
    let inspected = try run(["inspect", searched]).output
    #expect(inspected.contains("MLX directory") && inspected.contains("3bit/64-f16"), "\(inspected)")
    #expect(try run(["verify", searched]).output.contains("checksums match"))
    #expect(try run(["diff", plain, searched], status: 0).output.contains("blk.0"))
    _ = try run(["report", searched, "-o", out.path("page.html")])
    #expect(try String(contentsOfFile: out.path("page.html"), encoding: .utf8).contains("3bit/64-f16"))
    // A weight file that is damaged.
    let weights = searched + "/model.safetensors"
    var data = try Data(contentsOf: URL(filePath: weights))
    data[data.count - 3] ^= 0x7F
    try data.write(to: URL(filePath: weights))
    let damaged = try run(["verify", searched], status: 65)
    #expect(damaged.error.contains("checksum") || damaged.error.contains("NaN or infinite"), "\(damaged.error)")
    // The source of a GGUF is the original model.
    for command in ["convert", "quantize"] {
      let refused = try run(
        [command, plain, "-o", out.path("x.gguf"), "--type", command == "convert" ? "F16" : "Q4_K_M"], status: 65)
      #expect(refused.error.contains("is quantized for MLX"), "\(refused.error)")
    }
  }

  /// Groups of 64 and 128 columns, which are wider than those of GGUF's types, with error feedback.
  @Test(arguments: ["4bit", "3bit/128"]) func feedbackLowersDrift(type: String) throws {
    let out = try TemporaryDirectory()
    let (plain, fed) = (out.path("plain"), out.path("fed"))
    let options = ["--type", type, "--calibration", Repository.calibration + "/news.txt", "-q"]
    _ = try quantize(plain, options + ["--no-feedback"])
    _ = try quantize(fed, options + ["--effort", "1"])
    let drifts = try drifts([plain, fed])
    #expect(drifts[1] < 0.8 * drifts[0], "\(drifts)")
  }

  /// The plan of feedback is estimated before types are known, in a type that MLX has.
  @Test func feedbackAtASize() throws {
    let out = try TemporaryDirectory()
    let text = Repository.root.appending(path: "Examples/held-out.txt").path
    _ = try quantize(
      out.path("fitted"),
      ["--target", "2.6MB", "--calibration", text, "--budget", "1s", "--no-search", "--effort", "1", "-q"])
    #expect(try Self.size(of: out.path("fitted")) <= 2_600_000)
  }

  @Test func whatMLXCannotHoldIsRefused() throws {
    let out = try TemporaryDirectory()
    for (options, part) in [
      (["--type", "4bit", "--pin", "attn_v=F32", "-o", out.path("a")], "no more than 16 bits"),
      (["--type", "4bit", "-o", out.path("a.gguf")], "is the name of a GGUF"),
    ] {
      let result = try run(["quantize", Repository.demoModel, "--format", "mlx"] + options, status: 64)
      #expect(result.error.contains(part) && out.contents.isEmpty, "\(result.error)")
    }
  }

  @Test func aSizeIsNeverExceededAndThePlanIsExact() throws {
    let out = try TemporaryDirectory()
    let path = out.path("fitted")
    _ = try quantize(
      path,
      ["--target", "2300000B", "--budget", "0", "--no-importance", "--no-feedback", "--pin", "attn_v=6bit/32", "-q"])
    let size = try Self.size(of: path)
    #expect(size <= 2_300_000 && size > 2_250_000, "\(size)")
    let tensors = try run(["inspect", path, "--tensors"]).output.split(separator: "\n")
    let values = tensors.filter { $0.contains("attn_v.weight") }
    #expect(values.count == 4 && values.allSatisfy { $0.contains("6bit/32-f16") }, "\(values)")
    let plan = try run(["plan", Repository.demoModel, "--format", "mlx", "--type", "4bit", "--memory", "8GB", "--json"])
    _ = try quantize(out.path("four"), ["--type", "4bit", "--no-importance", "--no-feedback", "-q"])
    let exact = try Self.size(of: out.path("four"))
    #expect(plan.output.contains("\(exact)"), "\(exact): \(plan.output)")
  }

  /// A GGUF of floats beside the files of its model gives the same weights: its order of rows is undone.
  @Test func aFloatGGUFIsASource() throws {
    let out = try TemporaryDirectory()
    for name in try FileManager.default.contentsOfDirectory(atPath: Repository.demoModel)
    where !name.hasSuffix(".safetensors") {
      try FileManager.default.copyItem(atPath: Repository.demoModel + "/" + name, toPath: out.path(name))
    }
    let gguf = out.path("model.gguf")
    _ = try run(["convert", Repository.demoModel, "-o", gguf, "-q"])
    let options = ["--type", "4bit", "--no-importance", "--no-feedback", "-q"]
    _ = try quantize(out.path("a"), options)
    _ = try run(["quantize", gguf, "--format", "mlx", "-o", out.path("b")] + options)
    let weights = try ["a", "b"].map { try Data(contentsOf: URL(filePath: out.path($0) + "/model.safetensors")) }
    #expect(weights[0] == weights[1])
    // Its errors would remain.
    _ = try run(["quantize", gguf, "--type", "Q8_0", "--no-feedback", "-o", out.path("q8.gguf"), "-q"])
    let quantized = try run(
      ["quantize", out.path("q8.gguf"), "--format", "mlx", "--type", "4bit", "-o", out.path("c")], status: 64)
    #expect(quantized.error.contains("Q8_0, whose errors would remain"), "\(quantized.error)")
    // The configuration of another model.
    let config = out.path("config.json")
    let text = try String(contentsOfFile: config, encoding: .utf8)
    try text.replacing("\"hidden_size\": 256", with: "\"hidden_size\": 512").write(
      toFile: config, atomically: true, encoding: .utf8)
    let other = try run(
      ["quantize", gguf, "--format", "mlx", "--type", "4bit", "-o", out.path("c")], status: 65)
    #expect(other.error.contains("are of different models"), "\(other.error)")
    // Keys that shape arithmetic.
    for (key, value, part) in [
      (
        "rope_parameters", #"{"rope_type": "default", "rope_theta": 123456.0}"#,
        "key llama.rope.freq_base (rope_theta) is 10000.0 in the one and 123456.0 by the other"
      ),
      ("rms_norm_eps", "0.001", "(rms_norm_eps)"), ("num_key_value_heads", "4", "(num_key_value_heads) is"),
      (
        "rope_parameters", #"{"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}"#,
        "llama.rope.scaling.factor is 1.0 in the one and 2.0"
      ),
      (
        "rope_parameters",
        #"{"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}"#,
        "tensor rope_freqs.weight is missing"
      ),
    ] {
      try Self.set(key, value, in: text, to: config)
      let refused = try run(
        ["quantize", gguf, "--format", "mlx", "--type", "4bit", "-o", out.path("c")], status: 65)
      #expect(refused.error.contains("are of different models") && refused.error.contains(part), "\(refused.error)")
    }
  }

  /// config.json declares a block for multi-token prediction, which neither the checkpoint nor its GGUF has.
  @Test func aGGUFWithoutDeclaredPredictionIsASource() throws {
    let copy = try ReferenceModel.copy("qwen35-plain")
    try copy.set("mtp_num_hidden_layers", 1)
    let gguf = copy.path + "/model.gguf"
    _ = try run(["convert", copy.path, "-o", gguf, "-q"])
    let out = try TemporaryDirectory()
    for (source, name) in [(copy.path, "a"), (gguf, "b")] {
      _ = try run([
        "quantize", source, "--format", "mlx", "--type", "4bit/32", "--no-importance", "--no-feedback", "-o",
        out.path(name), "-q",
      ])
    }
    let weights = try ["a", "b"].map { try Data(contentsOf: URL(filePath: out.path($0) + "/model.safetensors")) }
    #expect(weights[0] == weights[1])
  }

  /// Writes a config.json with another value of a key.
  private static func set(_ key: String, _ value: String, in text: String, to path: String) throws {
    var root = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    root[key] = try JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed)
    try JSONSerialization.data(withJSONObject: root).write(to: URL(filePath: path))
  }

  @Test func rowsThatNoGroupDividesAreNamed() throws {
    let copy = try ReferenceModel.copy("qwen35")
    let out = try TemporaryDirectory()
    func quantize(_ name: String, _ options: [String], status: Int32 = 0) throws -> Binary.Result {
      try run(
        ["quantize", copy.path, "--format", "mlx", "--no-importance", "--no-feedback", "-o", out.path(name)] + options,
        status: status)
    }
    let written = try quantize("a", ["--type", "4bit/128"])
    #expect(
      written.error.contains("BF16, as groups of 32, 64 and 128 do not divide their rows: ")
        && written.error.contains("blk.0.ffn_down.weight (48 columns)"), "\(written.error)")
    let refused = try quantize("b", ["--type", "4bit", "--pin", "ffn_down=6bit/32"], status: 64)
    #expect(
      refused.error.contains(
        "--pin ffn_down=6bit/32: groups of 32, 64 and 128 do not divide the rows of blk.0.ffn_down"),
      "\(refused.error)")
    // A rule that holds for some of its tensors.
    let some = try quantize("c", ["--type", "4bit", "--pin", "ffn_=6bit/64"])
    #expect(some.error.contains("--pin ffn_=6bit/64: ") && some.error.contains("get BF16, as groups"), "\(some.error)")
    #expect(some.error.contains("get 6bit/32, as groups of 64 do not divide their rows"), "\(some.error)")
    #expect(out.contents == ["a", "c"])
    let plan = try run(["plan", copy.path, "--format", "mlx", "--type", "4bit", "--memory", "8GB"])
    #expect(plan.error.contains("do not divide their rows"), "\(plan.error)")
  }

  @Test func recipesMayBeginWithAMixOfMLX() throws {
    let out = try TemporaryDirectory()
    try "mix: mixed_3_6\nrules: ['attn_q=8bit/32']\n".write(
      toFile: out.path("mix.yaml"), atomically: true, encoding: .utf8)
    let options = ["--no-importance", "--no-feedback", "-q"]
    _ = try quantize(out.path("a"), ["--recipe", out.path("mix.yaml")] + options)
    _ = try quantize(out.path("b"), ["--type", "mixed_3_6", "--pin", "attn_q=8bit/32"] + options)
    let weights = try ["a", "b"].map { try Data(contentsOf: URL(filePath: out.path($0) + "/model.safetensors")) }
    #expect(weights[0] == weights[1])
    try "mix: Q4_K_M\n".write(toFile: out.path("mix.yaml"), atomically: true, encoding: .utf8)
    let refused = try quantize(out.path("c"), ["--recipe", out.path("mix.yaml")] + options, status: 64)
    #expect(refused.error.contains("mix Q4_K_M: is a mix of GGUF types"), "\(refused.error)")
  }

  @Test func copiesArePlannedToTheByte() throws {
    let out = try TemporaryDirectory()
    let plan = try run(["plan", Repository.demoModel, "--format", "mlx", "--type", "copy", "--memory", "8GB", "--json"])
    _ = try quantize(out.path("copy"), ["--type", "COPY", "-q"])
    let exact = try Self.size(of: out.path("copy"))
    #expect(plan.output.contains("\(exact)") && plan.output.contains("COPY"), "\(exact): \(plan.output)")
  }

  /// No names of GGUF's types in what a run for MLX says.
  @Test func messagesNameTypesOfMLX() throws {
    let out = try TemporaryDirectory()
    let copy = try ReferenceModel.copy("deepseek3")
    let result = try run([
      "quantize", copy.path, "--format", "mlx", "--target", "150kB", "--budget", "0", "--dry-run", "-o", out.path("a"),
    ])
    let text = result.output + result.error
    #expect(!text.contains("IQ") && !text.contains("stock mix") && !text.contains("Q5_K"), "\(text)")
    #expect(text.contains("floor: ") && text.contains("5bit/64 or more"), "\(text)")
    #expect(text.contains("note: no importance is measured: files come out worse"), "\(text)")
  }

  @Test func wrongRequestsAreRefused() throws {
    let out = try TemporaryDirectory()
    let path = out.path("out")
    for (options, part) in [
      (["--type", "Q4_K_M"], "MLX has no such mix"), (["--type", "7bit"], "MLX has no such mix"),
      (["--preset", "ud-q2_k"], "is a mix of GGUF types"),
      (["--type", "4bit", "--pin", "attn_v=Q6_K"], "MLX has no such type"),
      (["--type", "mixed_3_6", "--pure"], "--pure contradicts --type mixed_3_6"),
      (["--type", "4bit", "--only-types", "foo"], "known: 2bit/128, 2bit/64"),
      (["--type", "4bit", "--prune-layers", "1"], "--prune-layers is not possible"),
      (["--type", "4bit", "--override-kv", "a.b=int:1"], "sets a key of a GGUF"),
    ] {
      let result = try quantize(path, options + ["--no-feedback"], status: 64)
      #expect(result.error.contains(part), "\(options): \(result.error)")
    }
    let gguf = out.path("model.gguf")
    _ = try run(["convert", Repository.demoModel, "-o", gguf, "-q"])
    let refused = try run(["quantize", gguf, "--format", "mlx", "--type", "4bit", "-o", path], status: 64)
    #expect(refused.error.contains("is not a Hugging Face directory"), "\(refused.error)")
    let other = try run(
      ["quantize", Repository.demoModel, "--type", "Q4_K_M", "--pin", "attn_v=4bit", "-o", path], status: 64)
    #expect(other.error.contains("is a type of MLX"), "\(other.error)")
    let bits = try run(["quantize", Repository.demoModel, "--type", "4bit", "-o", path], status: 64)
    #expect(
      bits.error.contains("--type 4bit: is a type of MLX, which no GGUF has\nhint: --format mlx"), "\(bits.error)")
    #expect(out.contents == ["model.gguf"])
  }
}
