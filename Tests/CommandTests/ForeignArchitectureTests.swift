import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// GGUFs of architectures that have no forward pass: stock mixes, sizes, plans and lists.
@Suite struct ForeignArchitectureTests {
  let qtool = Binary(beside: .module)
  let out: TemporaryDirectory
  init() throws { out = try TemporaryDirectory() }

  static let names = [
    "nemotron_h_moe", "deepseek4", "glm5-next", "laguna", "step35", "mimo2", "llama4", "lfm2", "granitehybrid",
    "bailingmoe3", "kimi-linear", "minimax-m3",
  ]

  /// Writes a model of a fixture's tensors with fewer rows, on which no mix depends.
  private func write(_ fixture: StockFixture, to path: String, exact: String? = nil) throws {
    let tensors = fixture.infos.map { tensor in
      var dimensions = tensor.shape.dimensions
      if dimensions.count > 1 { dimensions[1] = min(dimensions[1], 16) }
      if dimensions.count > 2 { dimensions[2] = min(dimensions[2], 2) }
      let isExact = exact.map { tensor.name.hasSuffix($0) } ?? false
      return TensorInfo(name: tensor.name, shape: Shape(dimensions)!, type: isExact ? .f32 : tensor.type)
    }
    var metadata = fixture.metadata
    let prefix = fixture.architecture + "."
    metadata[prefix + "embedding_length"] = .uint32(512)
    if metadata[prefix + "expert_count"] != nil { metadata[prefix + "expert_used_count"] = .uint32(4) }
    let writer = try GGUFWriter(
      path: path, layout: GGUFLayout(metadata: metadata, tensors: tensors), overwrite: true)
    var random = SplitMix(seed: 5)
    for (index, tensor) in tensors.enumerated() {
      let bytes = Self.weights(tensor, &random)
      try writer.write(bytes.span.bytes, tensor: index, row: 0)
    }
    try writer.commit()
  }

  private static func weights(_ tensor: TensorInfo, _ random: inout SplitMix) -> [UInt8] {
    var bytes = random.bytes(tensor.shape.bytes(as: tensor.type)!)
    // Numbers of about 2^-6.
    let (width, mask, exponent): (Int, UInt8, UInt8) = tensor.type == .f16 ? (2, 0x83, 0x24) : (4, 0x80, 0x3C)
    for index in stride(from: width - 1, to: bytes.count, by: width) { bytes[index] = bytes[index] & mask | exponent }
    return bytes
  }

  private func types(_ path: String) throws -> [String: GGMLType] {
    Dictionary(uniqueKeysWithValues: try GGUFFile(path: path).tensors.map { ($0.name, $0.type) })
  }

  @Test(arguments: names) func stockMixesPlansAndLists(_ name: String) throws {
    let fixture = try #require(StockFixture.others[name])
    let (model, file) = (out.path("model.gguf"), out.path("out.gguf"))
    try write(fixture, to: model)
    // llama-quantize's types.
    var result = try qtool.run([
      "quantize", model, "--type", "Q4_K_M", "--no-importance", "-o", file, "--quiet",
    ])
    #expect(result.status == 0, "\(result.error)")
    let stock = try types(file)
    let expected = fixture.expected("Q4_K_M", hasImportance: false)
    let wrong = stock.filter { expected[$0.key] != $0.value.name }
    #expect(wrong.isEmpty && stock.count == expected.count, "\(wrong)")
    // Plans and lists.
    result = try qtool.run(["plan", model, "--memory", "16GB", "--bandwidth", "100GB/s", "--type", "Q4_K_M"])
    #expect(result.status == 0 && result.output.contains("Q4_K_M"), "\(result.error)")
    let build = name == "lfm2" ? "build b6096 (August 2025)" : "a build of 1 October 2026"
    #expect(result.output.contains("llama.cpp: \(build) or later"), "\(result.output)")
    result = try qtool.run(["inspect", file])
    #expect(result.status == 0 && result.output.contains(name), "\(result.error)")
  }

  /// A short text is not the reason that a model without a forward pass has no perplexity.
  @Test func perplexityNamesTheArchitecture() throws {
    let (model, text) = (out.path("model.gguf"), out.path("text.txt"))
    try write(try #require(StockFixture.others["laguna"]), to: model)
    try "short".write(toFile: text, atomically: true, encoding: .utf8)
    let result = try qtool.run(["perplexity", model, "--text", text])
    #expect(result.status == 65 && result.error.contains("architecture 'laguna' is not supported"), "\(result.error)")
  }

  /// From the prior alone.
  @Test(arguments: ["nemotron_h_moe", "glm5-next", "laguna"]) func sizes(_ name: String) throws {
    let fixture = try #require(StockFixture.others[name])
    let (model, file) = (out.path("model.gguf"), out.path("out.gguf"))
    try write(fixture, to: model)
    let expected = fixture.expected("Q4_K_M", hasImportance: false)
    let size = try FileManager.default.attributesOfItem(atPath: model)[.size] as? Int ?? 0
    let target = size / 4 * 3
    let result = try qtool.run([
      "quantize", model, "--target", "\(target)B", "--budget", "0", "-o", file, "--force",
    ])
    #expect(result.status == 0, "\(result.error)")
    #expect(result.output.contains("evidence: prior"), "\(result.output)")
    let written = try FileManager.default.attributesOfItem(atPath: file)[.size] as? Int ?? 0
    #expect(written <= target && Double(written) > 0.9 * Double(target), "\(written) of \(target)")
    for (tensor, type) in try types(file) {
      // Parts that llama-quantize never quantizes, and those that it does not in this architecture.
      if expected[tensor] == "F32" || expected[tensor] == "F16" {
        #expect(type.name == expected[tensor], "\(tensor)")
      }
      if ["ssm_beta", ".indexer", ".hc_"].contains(where: tensor.contains) {
        #expect(type.bitsPerWeight > 8, "\(tensor) \(type)")
      }
    }
    if name == "glm5-next" {
      #expect(result.output.contains(/floor: \d+ tensors of attn_k_b, .* have F16 or more/), "\(result.output)")
      let found = try types(file)
      for part in ["attn_k_b", "ssm_f_a", "hc_attn_fn", "indexer_compressor_ape"] {
        let tensors = found.filter { $0.key.contains(part + ".weight") }
        #expect(!tensors.isEmpty && tensors.allSatisfy { $0.value == .f16 }, "\(part)")
      }
      #expect(found.filter { $0.key.contains("attn_q_a.weight") }.allSatisfy { $0.value.bitsPerWeight > 8 })
    }
  }

  /// The gates of indexers are converted to no other type, as in llama.cpp's converter.
  @Test func gatesOfIndexersStayExact() throws {
    let (model, file) = (out.path("model.gguf"), out.path("out.gguf"))
    try write(try #require(StockFixture.others["glm-dsa"]), to: model, exact: ".indexer.proj.weight")
    let result = try qtool.run(["convert", model, "--type", "BF16", "-o", file, "--quiet"])
    #expect(result.status == 0, "\(result.error)")
    let found = try types(file)
    #expect(found["blk.0.indexer.proj.weight"] == .f32 && found["blk.0.indexer.attn_k.weight"] == .bf16)
    #expect(found["blk.0.attn_q_a.weight"] == .bf16)
  }

  /// A pin lifts a part that is otherwise left as it is.
  @Test func pinsOfGLM5Next() throws {
    let fixture = try #require(StockFixture.others["glm5-next"])
    let (model, file) = (out.path("model.gguf"), out.path("out.gguf"))
    try write(fixture, to: model)
    let size = try FileManager.default.attributesOfItem(atPath: model)[.size] as? Int ?? 0
    let result = try qtool.run([
      "quantize", model, "--target", "\(size / 4 * 3)B", "--budget", "0", "--pin", "ssm_f_a=Q8_0", "-o", file,
      "--quiet",
    ])
    #expect(result.status == 0, "\(result.error)")
    let found = try types(file)
    #expect(found["blk.0.ssm_f_a.weight"] == .q8_0 && found["blk.0.ssm_f_b.weight"] == .f16)
  }
}
