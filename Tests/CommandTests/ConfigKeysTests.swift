import Foundation
import TestSupport
import Testing

/// Refused keys of config.json stop every command that opens a checkpoint, with name and value; `--ignore-config` overrides
/// this.
@Suite struct ConfigKeysTests {
  let qtool = Binary(beside: .module)

  /// The command line of each command on a model, given a folder with text.txt, and the stream of its notes.
  static let commands: [(name: String, arguments: [String], notes: Notes)] = [
    ("convert", ["MODEL", "-o", "FOLDER/out.gguf"], .error),
    ("quantize", ["MODEL", "--type", "Q8_0", "-o", "FOLDER/out.gguf"], .error),
    ("quantize", ["MODEL", "--target", "60kB", "--no-importance", "--dry-run", "-o", "FOLDER/out.gguf"], .error),
    (
      "imatrix", ["MODEL", "--calibration", "FOLDER/text.txt", "--ctx", "32", "--chunks", "2", "-o", "FOLDER/i.gguf"],
      .error
    ),
    ("perplexity", ["MODEL", "--text", "FOLDER/text.txt", "--ctx", "32", "--chunks", "2"], .error),
    ("drift", ["MODEL", "MODEL", "--text", "FOLDER/text.txt", "--ctx", "32", "--chunks", "2"], .error),
    (
      "sensitivity",
      [
        "MODEL", "--calibration", "FOLDER/text.txt", "--no-importance", "--bands", "1", "--budget", "1s", "-o",
        "FOLDER/s.json",
      ], .error
    ),
    ("plan", ["MODEL", "--machine", "m4-max-64", "--type", "Q4_K_M"], .error),
    ("plan", ["MODEL/config.json", "--machine", "m4-max-64", "--type", "Q4_K_M"], .error),
    ("inspect", ["MODEL"], .output), ("tokenize", ["MODEL", "--text", "FOLDER/text.txt"], .error),
    ("diff", ["MODEL", "MODEL", "--no-errors"], .error),
  ]

  enum Notes { case error, output }

  private func run(_ index: Int, _ model: DemoCopy, _ more: [String]) throws -> (Binary.Result, [String]) {
    let (name, arguments, _) = Self.commands[index]
    let folder = try TemporaryDirectory()
    try Data(contentsOf: Repository.root.appending(path: "Examples/held-out.txt")).prefix(6000)
      .write(to: folder.url.appending(path: "text.txt"))
    let result = try qtool.run(
      [name]
        + arguments.map {
          $0.replacing("FOLDER", with: folder.url.path).replacing("MODEL", with: model.path)
        } + more)
    return (result, folder.contents.filter { $0 != "text.txt" })
  }

  @Test(arguments: commands.indices) func everyCommandStopsAndGoesOn(_ index: Int) throws {
    let model = try ReferenceModel.copy("llama2")
    try model.set("hidden_act", "gelu")
    try model.set("clip_qkv", 8)
    let (stopped, left) = try run(index, model, [])
    #expect(stopped.status == 65 && stopped.output.isEmpty && left.isEmpty, "\(stopped)")
    let lines = stopped.error.split(separator: "\n")
    #expect(lines.count == 2, "\(lines)")
    #expect(
      lines.first?.hasSuffix(
        "config.json: key hidden_act: is \"gelu\"; a GGUF of llama means \"silu\" or \"swish\"; key clip_qkv: is 8; "
          + "a GGUF of llama means none") == true, "\(lines)")
    #expect(lines.last?.hasSuffix("--ignore-config hidden_act --ignore-config clip_qkv") == true, "\(lines)")

    let half = try run(index, model, ["--ignore-config", "hidden_act"]).0
    #expect(half.status == 65 && half.error.contains("key clip_qkv") && !half.error.contains("key hidden_act"))

    let (gone, _) = try run(index, model, ["--ignore-config", "hidden_act", "--ignore-config", "clip_qkv"])
    #expect(gone.status == 0, "\(gone.error)")
    let note = "config.json: ignored by --ignore-config: hidden_act (\"gelu\"), clip_qkv (8)"
    switch Self.commands[index].notes {
    case .error: #expect(gone.error.contains(note), "\(gone.error)")
    case .output: #expect(gone.output.contains(note), "\(gone.output)")
    }

    let wrong = try run(index, model, ["--ignore-config", "hidden_ac"]).0
    #expect(wrong.status == 64, "\(wrong.error)")
    #expect(wrong.error.contains("qtool: --ignore-config hidden_ac: "), "\(wrong.error)")
    #expect(wrong.error.contains("did you mean hidden_act? refused keys: hidden_act, clip_qkv"), "\(wrong.error)")
  }

  @Test func unknownKeysAreListedOnce() throws {
    let model = try ReferenceModel.copy("llama2")
    try model.set("zeta", 1)
    try model.set("alpha", ["b": 2])
    let note = "note: \(model.path)/config.json: 2 keys that qtool does not know: alpha, zeta\n"
    for index in Self.commands.indices where Self.commands[index].notes == .error {
      let (name, arguments, _) = Self.commands[index]
      let result = try run(index, model, []).0
      #expect(result.status == 0, "\(name) \(result.error)")
      let models = name == "drift" || name == "diff" ? 2 : 1
      #expect(result.error.components(separatedBy: "that qtool does not know").count == models + 1, "\(arguments)")
      if name != "plan" { #expect(result.error.contains(note), "\(name) \(result.error)") }
    }
    let quiet = try run(0, model, ["--quiet"]).0
    #expect(quiet.error.isEmpty)
  }

  @Test func aGGUFHasNoSuchKeys() throws {
    let out = try TemporaryDirectory()
    let model = try ReferenceModel.copy("llama2")
    #expect(try qtool.run(["convert", model.path, "-o", out.path("a.gguf"), "--quiet"]).status == 0)
    for command in [
      ["convert", out.path("a.gguf"), "-o", out.path("b.gguf")], ["inspect", out.path("a.gguf")],
      ["plan", out.path("a.gguf")], ["plan", "DeepSeek-R1"],
      ["imatrix", "--merge", out.path("a.gguf"), "-o", out.path("c.gguf")],
    ] {
      let result = try qtool.run(command + ["--ignore-config", "hidden_act"])
      #expect(result.status == 64 && result.error.contains("--ignore-config"), "\(command) \(result.error)")
    }
  }

  /// The window of Mistral 7B: the file has full attention, which is the same for texts up to its length.
  @Test func textsWithinTheSlidingWindow() throws {
    let out = try TemporaryDirectory()
    let model = try ReferenceModel.copy("mistral")
    try model.set("sliding_window", 32)
    let file = out.path("out.gguf")
    let converted = try qtool.run(["convert", model.path, "-o", file])
    #expect(converted.status == 0)
    #expect(converted.error.contains("note: \(model.path)/config.json: sliding_window is 32; "), "\(converted.error)")
    let text = Repository.root.path + "/Examples/held-out.txt"
    func perplexity(_ model: String, _ context: Int, _ more: String...) throws -> Binary.Result {
      try qtool.run(["perplexity", model, "--text", text, "--ctx", "\(context)", "--chunks", "2", "--quiet"] + more)
    }
    for path in [model.path, file] {
      #expect(try perplexity(path, 32).status == 0)
      let long = try perplexity(path, 33)
      #expect(long.status == 65 && long.output.isEmpty)
      #expect(long.error.contains("metadata key 'llama.attention.sliding_window' is 32"), "\(long.error)")
      #expect(long.error.contains("hint: pass --ctx 32 or less"), "\(long.error)")
    }
    #expect(try perplexity(model.path, 33, "--ignore-config", "sliding_window").status == 0)
  }

  /// Biases that a GGUF can't store are removed with the key that declares them.
  @Test func biasesOfAnIgnoredKeyAreLeftOut() throws {
    let out = try TemporaryDirectory()
    let model = try ReferenceModel.copy("llama-biases")
    try model.set("architectures", ["Qwen2ForCausalLM"])
    let stopped = try qtool.run(["convert", model.path, "-o", out.path("a.gguf"), "--quiet"])
    #expect(stopped.status == 65 && stopped.error.contains("key mlp_bias: is true"), "\(stopped.error)")
    let arguments = ["convert", model.path, "-o", out.path("a.gguf"), "--quiet", "--ignore-config", "mlp_bias"]
    // The key does not declare the bias of attention's output.
    let other = try qtool.run(arguments)
    #expect(other.status == 65 && other.error.contains("self_attn.o_proj.bias: is not part of"), "\(other.error)")
    let (bias, buffer) = ("self_attn.o_proj.bias", "self_attn.rotary_emb.inv_freq")
    try model.replace(bias, by: buffer, in: "model.safetensors.index.json")
    for index in 1...3 {
      try model.rewriteHeader(of: "model-0000\(index)-of-00003.safetensors") { $0.replacing(bias, with: buffer) }
    }
    let gone = try qtool.run(arguments)
    #expect(gone.status == 0, "\(gone.error)")
    let tensors = try qtool.run(["inspect", out.path("a.gguf"), "--tensors"]).output
    #expect(tensors.contains("blk.0.attn_q.bias") && !tensors.contains("ffn_up.bias"))
  }

  /// A value that determines shapes is kept, and the hint says that llama.cpp can't load the file.
  @Test func aKeyThatShapesTensorsIsKept() throws {
    let out = try TemporaryDirectory()
    let model = try ReferenceModel.copy("deepseek3")
    try model.set("moe_layer_freq", 1)
    try model.set("n_shared_experts", 0)
    try model.rewriteHeader { header in
      header.replacing(/mlp\.shared_experts\.(gate|up|down)_proj\.weight/) { "\($0.1).input_scale" }
    }
    let stopped = try qtool.run(["convert", model.path, "-o", out.path("a.gguf"), "--quiet"])
    #expect(stopped.status == 65 && stopped.error.contains("key n_shared_experts: is 0"), "\(stopped.error)")
    #expect(stopped.error.contains("hint: llama.cpp can't load such a model"), "\(stopped.error)")
    let gone = try qtool.run(
      ["convert", model.path, "-o", out.path("a.gguf"), "--ignore-config", "n_shared_experts"])
    #expect(gone.status == 0, "\(gone.error)")
    #expect(gone.error.contains("n_shared_experts (0, kept: it shapes tensors)"), "\(gone.error)")
  }

  /// A foreign file with keys that the forward pass does not support can still be quantized.
  @Test func aFileOfOtherArithmeticIsQuantizedAndNotRun() throws {
    let out = try TemporaryDirectory()
    let model = try ReferenceModel.copy("llama2")
    let path = out.path("soft.gguf")
    let made = try qtool.run([
      "quantize", model.path, "--type", "F16", "--no-importance", "--override-kv",
      "llama.final_logit_softcapping=float:30",
      "-o", path, "--quiet",
    ])
    #expect(made.status == 0, "\(made.error)")
    let text = Repository.root.path + "/Examples/held-out.txt"
    let run = try qtool.run(["perplexity", path, "--text", text, "--ctx", "32", "--chunks", "1", "--quiet"])
    #expect(run.status == 65 && run.output.isEmpty)
    #expect(run.error.contains("metadata key 'llama.final_logit_softcapping' is 30.0"), "\(run.error)")
    #expect(run.error.contains("hint: the file can still be"), "\(run.error)")
    let small = out.path("small.gguf")
    let quantized = try qtool.run(["quantize", path, "--type", "Q8_0", "--no-importance", "-o", small, "--quiet"])
    #expect(quantized.status == 0, "\(quantized.error)")
  }
}
