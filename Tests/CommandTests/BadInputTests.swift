import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// Every bad input gives one line with the location, a hint and an exit code, and leaves no file.
@Suite struct BadInputTests {
  let qtool = Binary(beside: .module)

  /// Runs `convert` on a damaged copy of the demo model.
  private func convert(_ damage: (DemoCopy) throws -> Void) throws -> (result: Binary.Result, left: [String]) {
    let model = try DemoCopy()
    try damage(model)
    let out = try TemporaryDirectory()
    let result = try qtool.run(["convert", model.path, "-o", out.path("out.gguf"), "--quiet"])
    return (result, out.contents)
  }

  private func expect(
    _ outcome: (result: Binary.Result, left: [String]), status: Int32, _ parts: String...,
    location: SourceLocation = #_sourceLocation
  ) {
    #expect(outcome.result.status == status, "\(outcome.result.error)", sourceLocation: location)
    let lines = outcome.result.error.split(separator: "\n")
    #expect(lines.count <= 2 && lines.first?.hasPrefix("qtool: ") == true, "\(lines)", sourceLocation: location)
    for part in parts {
      #expect(outcome.result.error.contains(part), "\(outcome.result.error)", sourceLocation: location)
    }
    #expect(outcome.left.isEmpty, sourceLocation: location)
    #expect(outcome.result.output.isEmpty, sourceLocation: location)
  }

  @Test func truncatedSafetensors() throws {
    expect(
      try convert { try $0.truncate("model.safetensors", to: 5_000_000) }, status: 65, "model.safetensors", "tensor ",
      "hint: ")
  }

  @Test func headerLengthBeyondTheFile() throws {
    expect(
      try convert { try $0.rewriteHeader(length: 1 << 60) }, status: 65, "model.safetensors", "at byte 0",
      "1152921504606846976")
  }

  @Test func overlappingTensors() throws {
    let outcome = try convert { copy in
      try copy.rewriteHeader { header in
        // The second tensor begins at the offset of the first.
        header.replacing("\"data_offsets\":[1048576,", with: "\"data_offsets\":[1048064,")
      }
    }
    expect(outcome, status: 65, "model.safetensors", "tensor ")
  }

  @Test func unknownArchitecture() throws {
    let outcome = try convert { try $0.replace("LlamaForCausalLM", by: "LlamoForCausalLM", in: "config.json") }
    expect(
      outcome, status: 65, "config.json", "LlamoForCausalLM", "hint: similar: LlamaForCausalLM; ", "CONTRIBUTING.md")
  }

  @Test func unknownElementType() throws {
    let outcome = try convert { copy in
      try copy.rewriteHeader { $0.replacing("\"F16\"", with: "\"F12\"") }
    }
    expect(outcome, status: 65, "model.safetensors", "F12", "hint: known: ")
  }

  @Test func shapeThatContradictsTheConfiguration() throws {
    let outcome = try convert {
      try $0.replace("\"intermediate_size\": 768", by: "\"intermediate_size\": 512", in: "config.json")
    }
    expect(outcome, status: 65, "gate_proj", "[512, 256]")
  }

  @Test func missingModel() throws {
    let out = try TemporaryDirectory()
    let result = try qtool.run(["convert", out.path("nothing.gguf"), "-o", out.path("out.gguf")])
    expect((result, out.contents), status: 66, "nothing.gguf", "no such file")
  }

  /// The error names both limits, which are exact: one byte less than the smallest is refused, the smallest is written.
  @Test func targetsBeyondTheLimitsNameBoth() throws {
    let out = try TemporaryDirectory()
    func quantize(_ options: [String]) throws -> Binary.Result {
      try qtool.run(["quantize", Repository.demoModel, "-o", out.path("out.gguf"), "--quiet"] + options)
    }
    let small = try quantize(["--target", "100kB", "--no-importance"])
    expect(
      (small, out.contents), status: 64, "100000 bytes is too small", "smallest file has 1414", ", the largest 8459",
      "hint: raise --target")
    let large = try quantize(["--target", "20MB", "--no-importance"])
    expect(
      (large, out.contents), status: 64, "20000000 bytes is too large", "smallest file has 1414", ", the largest 8459",
      "hint: the unchanged model fits")
    // Types that need importance are excluded for the embedding and the output, which will have none.
    let weighted = try quantize(["--target", "900kB", "--calibration", Repository.calibration])
    expect((weighted, out.contents), status: 64, "smallest file has 1021")
    let narrow = try quantize(["--target", "1.9MB", "--no-importance", "--only-types", "Q8_0"])
    expect((narrow, out.contents), status: 64, "smallest file with them has 4527", "without them 1414")
  }

  /// The sensitivities are checked before any text is read.
  @Test func sensitivitiesOfAnotherModel() throws {
    let out = try TemporaryDirectory()
    let measured = try qtool.run([
      "sensitivity", Repository.demoModel, "--no-importance", "--calibration", Repository.calibration, "--budget", "1s",
      "--bands", "1", "-o", out.path("s.json"), "--quiet",
    ])
    #expect(measured.status == 0, "\(measured.error)")
    let other = try DemoCopy()
    try other.replace("\"rms_norm_eps\": ", by: "\"rms_norm_eps\": 1", in: "config.json")
    let result = try qtool.run([
      "quantize", other.path, "--target", "2MB", "--no-importance", "--sensitivity", out.path("s.json"),
      "--calibration", out.path("no-such-text"), "-o", out.path("out.gguf"), "--quiet",
    ])
    expect((result, out.contents.filter { $0 != "s.json" }), status: 65, "s.json: was measured on another model")
  }

  @Test(arguments: [["--budget", "0"], ["--seed", "2"], ["--no-search"], ["--sensitivity", "s.json"]])
  func optionsOfASizeNeedOne(option: [String]) throws {
    let out = try TemporaryDirectory()
    let result = try qtool.run(
      ["quantize", Repository.demoModel, "--type", "Q4_K_M", "-o", out.path("out.gguf"), "--quiet"] + option)
    expect((result, out.contents), status: 64, "\(option[0]) needs --target or --fit")
  }

  @Test func textShorterThanAWindow() throws {
    let out = try TemporaryDirectory()
    try "Hello, world".write(toFile: out.path("short.txt"), atomically: true, encoding: .utf8)
    let result = try qtool.run(["perplexity", Repository.demoModel, "--text", out.path("short.txt"), "--quiet"])
    #expect(result.status == 65)
    #expect(result.error.contains("short.txt") && result.error.contains("512"))
  }

  @Test func existingOutputStays() throws {
    let out = try TemporaryDirectory()
    try "precious".write(toFile: out.path("out.gguf"), atomically: true, encoding: .utf8)
    let result = try qtool.run(["convert", Repository.demoModel, "-o", out.path("out.gguf"), "--quiet"])
    #expect(result.status == 73)
    #expect(result.error.contains("already exists") && result.error.contains("--force"))
    #expect(try String(contentsOfFile: out.path("out.gguf"), encoding: .utf8) == "precious")
    #expect(out.contents == ["out.gguf"])
  }

  @Test func missingFolder() throws {
    let out = try TemporaryDirectory()
    let result = try qtool.run(["convert", Repository.demoModel, "-o", out.path("none/out.gguf"), "--quiet"])
    expect((result, out.contents), status: 73, "none/out.gguf")
  }

  @Test func sizesNeedAUnit() throws {
    let result = try qtool.run(["quantize", Repository.demoModel, "--target", "3000", "-o", "out.gguf"])
    #expect(result.status == 64)
    #expect(result.error.contains("--target"))
  }

  @Test func unknownTypes() throws {
    let out = try TemporaryDirectory()
    let result = try qtool.run([
      "quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_KM", "-o", out.path("out.gguf"), "--quiet",
    ])
    expect((result, out.contents), status: 64, "Q4_KM", "Q4_K_M")
  }

  @Test func nonFiniteWeightsAreNamed() throws {
    let model = try DemoCopy()
    let url = model.directory.url.appending(path: "model.safetensors")
    var data = try Data(contentsOf: url)
    // Makes the last element of the file, in the output norm, a half-precision NaN.
    data[data.count - 1] = 0x7E
    data[data.count - 2] = 0x01
    try data.write(to: url)
    let out = try TemporaryDirectory()
    let result = try qtool.run([
      "quantize", "--no-feedback", model.path, "--type", "Q4_K_M", "-o", out.path("out.gguf"), "--quiet",
    ])
    expect((result, out.contents), status: 65, "output_norm.weight", "column 255")
  }

  @Test func importanceOfAnotherModel() throws {
    let out = try TemporaryDirectory()
    let made = try qtool.run([
      "imatrix", Repository.demoModel, "--calibration", Repository.calibration, "--chunks", "1", "-o",
      out.path("own.gguf"), "--quiet",
    ])
    #expect(made.status == 0, "\(made.error)")
    try rewriteGGUF(out.path("own.gguf"), to: out.path("narrow.gguf")) { tensor in
      guard tensor.name == "blk.3.ffn_down.weight.in_sum2" else { return [tensor] }
      return [TensorInfo(name: tensor.name, shape: Shape([255, 1])!, type: .f32)]
    }
    try rewriteGGUF(out.path("own.gguf"), to: out.path("foreign.gguf")) { [$0.named("model." + $0.name)] }
    for (name, words) in [
      ("narrow.gguf", "'blk.3.ffn_down.weight' has 255 columns, the model's has 768"),
      ("foreign.gguf", "of another model: none of its 28 entries ('model.blk.0.attn_k.weight', ...)"),
    ] {
      for arguments in [
        ["quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_K_M", "--imatrix", out.path(name)],
        ["sensitivity", Repository.demoModel, "--imatrix", out.path(name)],
        ["imatrix", Repository.demoModel, "--merge", out.path(name)],
      ] {
        let result = try qtool.run(arguments + ["-o", out.path("out.gguf"), "--quiet"])
        #expect(result.status == 65 && result.error.contains(name) && result.error.contains(words), "\(result.error)")
        #expect(out.contents == ["foreign.gguf", "narrow.gguf", "own.gguf"])
      }
    }
  }

  /// Runs `quantize` on the demo model without importance.
  private func quantize(_ arguments: String..., recipe: String? = nil) throws -> (Binary.Result, [String]) {
    try quantize(arguments: arguments, recipe: recipe)
  }

  private func quantize(arguments: [String], recipe: String? = nil) throws -> (Binary.Result, [String]) {
    let out = try TemporaryDirectory()
    let folder = try TemporaryDirectory()
    var all = ["quantize", "--no-feedback", Repository.demoModel, "-o", out.path("out.gguf"), "--quiet"] + arguments
    if let recipe {
      try recipe.write(toFile: folder.path("bad.yaml"), atomically: true, encoding: .utf8)
      all += ["--recipe", folder.path("bad.yaml")]
    }
    return (try qtool.run(all), out.contents)
  }

  @Test func pinsThatCannotMeetTheTarget() throws {
    expect(
      try quantize("--target", "1.9MB", "--no-importance", "--pin", "ffn_=Q8_0"), status: 64,
      "pins, floors and types", "without them", "hint: raise --target")
  }

  @Test func rulesThatMatchNothing() throws {
    expect(
      try quantize(recipe: "base: Q4_K\nrules:\n- ffn_down_exps=Q2_K\n"), status: 64, "ffn_down_exps=Q2_K",
      "matches no tensor", "--lenient")
    expect(try quantize("--type", "Q4_K_M", "--pin", "Attn_V=Q8_0"), status: 64, "rule Attn_V=Q8_0")
    let out = try TemporaryDirectory()
    let result = try qtool.run([
      "quantize", "--no-feedback", Repository.demoModel, "--type", "Q4_K_M", "--pin", "Attn_V=Q8_0", "--lenient", "-o",
      out.path("out.gguf"),
    ])
    #expect(result.status == 0)
    #expect(result.error.contains("warning: rule Attn_V=Q8_0"))
  }

  /// A rule file may have comments and empty lines; errors name the file and the line.
  @Test func ruleFiles() throws {
    let out = try TemporaryDirectory()
    let path = out.path("rules.txt")
    func quantize(_ rules: String, _ options: String...) throws -> (Binary.Result, [String]) {
      try rules.write(toFile: path, atomically: true, encoding: .utf8)
      return try self.quantize(arguments: ["--type", "Q4_K_M", "--tensor-type-file", path] + options)
    }
    let good = "# Attention\n\nattn_v=Q8_0 # values\n   \nattn_q=Q6_K attn_k=Q5_K\n#attn_output=Q2_K\n"
    expect(try quantize(good + "ffn_up=Q4_KM\n"), status: 64, "\(path): line 7: rule ffn_up=Q4_KM: unknown type Q4_KM")
    expect(try quantize("\n# x\nffn_up\n"), status: 64, "\(path): line 3: rule ffn_up: is not REGEX=TYPE")
    expect(try quantize(good + "(=Q8_0"), status: 64, "\(path): line 7: rule (: ")
    expect(try quantize("attn_v=Q8_0\nnone=Q8_0\n"), status: 64, "\(path): line 2: rule none=Q8_0: matches no tensor")
    let (lenient, _) = try quantize(good + "none=Q8_0\n", "--lenient", "--dry-run")
    #expect(lenient.status == 0 && lenient.output.contains("blk.0.attn_v.weight"), "\(lenient.error)")
    let types = Dictionary(
      uniqueKeysWithValues: lenient.output.split(separator: "\n").compactMap { line -> (String, String)? in
        let words = line.split(separator: " ").map(String.init)
        return words.first?.hasPrefix("blk.0.") == true ? (words[0], words[words.count - 3]) : nil
      })
    #expect(types["blk.0.attn_v.weight"] == "Q8_0" && types["blk.0.attn_q.weight"] == "Q6_K", "\(types)")
    #expect(types["blk.0.attn_k.weight"] == "Q5_K" && types["blk.0.attn_output.weight"] != "Q2_K", "\(types)")
  }

  @Test func recipesWithUnknownTypes() throws {
    expect(try quantize(recipe: "base: Q4_KM\n"), status: 64, "bad.yaml: rule base: unknown type Q4_KM")
    expect(try quantize(recipe: "rules: []\n"), status: 65, "bad.yaml", "neither a base nor a mix")
    expect(try quantize("--preset", "ud-iq9"), status: 64, "ud-iq9", "ud-iq1_s")
    expect(try quantize("--type", "Q4_K_M", "--exclude-type", "Q4_KM"), status: 64, "--exclude-type Q4_KM")
  }

  @Test func otherJSONInPlaceOfSensitivities() throws {
    let folder = try TemporaryDirectory()
    try "{}".write(toFile: folder.path("s.json"), atomically: true, encoding: .utf8)
    expect(
      try quantize("--target", "3MB", "--no-importance", "--no-search", "--sensitivity", folder.path("s.json")),
      status: 65, "s.json",
      "is not a file of sensitivities")
  }
}
