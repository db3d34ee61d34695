import Foundation
import GGUF
import TestSupport
import Testing

/// Options of `qtool convert`.
@Suite struct ConvertTests {
  let qtool = Binary(beside: .module)
  let out: TemporaryDirectory

  init() throws { out = try TemporaryDirectory() }

  private func convert(_ model: String, _ name: String, _ arguments: String...) throws -> Binary.Result {
    try qtool.run(["convert", model, "-o", out.path(name)] + arguments)
  }

  /// FP8 matrices become BF16; all others keep their type.
  @Test(arguments: [
    ("llama2", "F16", 1), ("qwen3", "BF16", 32), ("llama-biases", "F32", 0), ("deepseek3-fp8", "BF16", 32),
  ])
  func autoKeepsThePublishedType(name: String, type: String, fileType: Int) throws {
    let model = try ReferenceModel.copy(name)
    let result = try convert(model.path, "out.gguf", "--quiet")
    #expect(result.status == 0, "\(result.error)")
    let file = try GGUFFile(path: out.path("out.gguf"))
    #expect(file.metadata.optionalInt("general.file_type") == fileType)
    #expect(file.tensor(named: "blk.0.attn_output.weight")?.type.name == type)
    #expect(file.tensor(named: "blk.0.attn_norm.weight")?.type.name == "F32")
  }

  @Test func metadataIsReplaced() throws {
    let about = """
      {"general.name": "Falsifier", "general.tags": ["a", "b"], "general.sampling.temp": 0.5,
       "general.base_models": [{"name": "Base", "repo_url": "https://example.org/base"}]}
      """
    try Data(about.utf8).write(to: out.url.appending(path: "about.json"))
    let result = try convert(
      Repository.demoModel, "out.gguf", "--quiet", "--metadata", out.path("about.json"))
    #expect(result.status == 0, "\(result.error)")
    let metadata = try GGUFFile(path: out.path("out.gguf")).metadata
    #expect(metadata["general.name"] == .string("Falsifier"))
    #expect(metadata["general.tags"] == .array(.string(["a", "b"])))
    #expect(metadata["general.sampling.temp"] == .float32(0.5))
    #expect(metadata["general.base_model.count"] == .uint32(1))
    #expect(metadata["general.base_model.0.repo_url"] == .string("https://example.org/base"))
    #expect(metadata["general.architecture"] == .string("llama"))
  }

  @Test func quantizedTensorsAreConvertedOnDemandOnly() throws {
    #expect(try convert(Repository.demoModel, "q8.gguf", "--type", "Q8_0", "--quiet").status == 0)
    let refused = try convert(out.path("q8.gguf"), "f16.gguf", "--type", "F16", "--quiet")
    #expect(refused.status == 64 && refused.error.contains("--allow-requantize"), "\(refused.error)")
    #expect(out.contents == ["q8.gguf"])
    let allowed = try convert(out.path("q8.gguf"), "f16.gguf", "--type", "F16", "--allow-requantize")
    #expect(allowed.status == 0 && allowed.error.contains("warning: q8.gguf is already quantized"), "\(allowed.error)")
    #expect(try GGUFFile(path: out.path("f16.gguf")).tensor(named: "output.weight")?.type == .f16)
    // A copy adds no error, and needs no option.
    let copied = try convert(out.path("q8.gguf"), "copy.gguf", "--quiet")
    #expect(copied.status == 0, "\(copied.error)")
    #expect(
      try Data(contentsOf: out.url.appending(path: "copy.gguf")) == Data(contentsOf: out.url.appending(path: "q8.gguf"))
    )
  }

  /// 65536 is beyond F16 and is not written as infinity.
  @Test func weightsBeyondHalfStopWithTheirPosition() throws {
    let model = try ReferenceModel.copy("qwen3")
    let url = model.directory.url.appending(path: "model.safetensors")
    var data = try Data(contentsOf: url)
    let size = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try JSONSerialization.jsonObject(with: data[8..<8 + size]) as? [String: Any]
    let entry = try #require(header?["model.layers.1.mlp.up_proj.weight"] as? [String: Any])
    let start = 8 + size + (try #require(entry["data_offsets"] as? [Int]))[0] + 2 * (3 * 32 + 5)
    data[start] = 0x80
    data[start + 1] = 0x47
    try data.write(to: url)
    let result = try convert(model.path, "out.gguf", "--type", "F16", "--quiet")
    #expect(result.status == 65, "\(result.error)")
    for part in ["model.safetensors", "tensor blk.1.ffn_up.weight", "row 3, column 5", "65504", "hint: write BF16"] {
      #expect(result.error.contains(part), "\(result.error)")
    }
    #expect(out.contents.isEmpty)
    #expect(try convert(model.path, "out.gguf", "--type", "BF16", "--quiet").status == 0)
  }
}
