import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// `qtool convert` compared with llama.cpp's converter, on small random models of every architecture and element type.
///
/// Fixtures/reference/make.py makes models and expectations; gemma.py those of Gemma, mistral.py those in Mistral's own format.
@Suite struct ReferenceConverterTests {
  static let models = [
    "llama2", "llama3", "llama-biases", "mistral", "mixtral", "qwen2", "qwen3", "qwen3moe", "deepseek2", "deepseek3",
    "deepseek3-fp8", "llama-fp8-e5m2", "llama-fp8-rows", "llama-fp8-whole", "gpt-oss", "gpt-oss-mxfp4", "llama-int4",
    "llama-int4-zeros", "llama-int8", "llama-gptq", "llama-gptq8", "llama-nvfp4", "llama-nvfp4-modelopt", "qwen35",
    "qwen35-plain", "qwen35moe", "qwen3next", "gemma3", "gemma4", "gemma4-shared",
    "gemma4-unified", "qwen35moe-fp8", "mistral-native", "ministral3-native", "mistral-large3",
  ]
  /// Models whose integers become blocks, which the converter decodes.
  static let decoded = ["llama-int4", "llama-int8"]
  static let types = ["F32", "F16", "BF16", "Q8_0"]
  static let fileTypes: [String: UInt32] = ["F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7]

  let qtool = Binary(beside: .module)

  /// The model in a folder of its name, which becomes `general.name`.
  private func assemble(_ name: String, in directory: TemporaryDirectory) throws -> String {
    let model = directory.url.appending(path: name)
    let copy = try ReferenceModel.copy(name)
    try withExtendedLifetime(copy) { try FileManager.default.copyItem(atPath: copy.path, toPath: model.path) }
    return model.path
  }

  private func expected(_ model: String) throws -> [String: Any] {
    let data = try Data(contentsOf: URL(filePath: model + "/expected.json"))
    return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  /// Scales of rows under the name in Meta's FP8 checkpoints.
  @Test func scalesOfRowsByAnotherName() throws {
    let directory = try TemporaryDirectory()
    let model = try ReferenceModel.copy("llama-fp8-rows")
    for name in ["one.gguf", "two.gguf"] {
      let result = try qtool.run(["convert", model.path, "-o", directory.path(name), "--quiet"])
      #expect(result.status == 0, "\(result.error)")
      try model.set("quantization_config", ["quant_method": "fbgemm_fp8", "activation_scale_ub": 1200])
    }
    #expect(
      try Data(contentsOf: URL(filePath: directory.path("one.gguf")))
        == Data(contentsOf: URL(filePath: directory.path("two.gguf"))))
  }

  @Test(arguments: models) func keysAndTensorsAreEqual(name: String) throws {
    let directory = try TemporaryDirectory()
    let model = try assemble(name, in: directory)
    let expected = try expected(model)
    let keys = try #require(expected["keys"] as? [String: [Any]])
    let tensors = try #require(expected["tensors"] as? [String: [String: [Any]]])
    for type in Self.types {
      let path = directory.path("out-\(type).gguf")
      let more = Self.decoded.contains(name) ? ["--allow-requantize"] : []
      let result = try qtool.run(["convert", model, "--type", type, "-o", path, "--quiet"] + more)
      #expect(result.status == 0, "\(result.error)")
      let file = try PositionedFile(path: path)
      let header = try GGUFHeader(file: file)
      var found = header.metadata
      #expect(found.removeValue(forKey: "general.file_type") == .uint32(Self.fileTypes[type]!))
      #expect(Set(found.keys) == Set(keys.keys), "\(type)")
      for (key, value) in found {
        let wanted = keys[key].map { $0.map { "\($0)" }.joined(separator: " ") }
        #expect(describe(value) == wanted, "\(key)")
      }
      let wanted = try #require(tensors[type])
      #expect(Set(header.tensors.map(\.name)) == Set(wanted.keys), "\(type)")
      for (tensor, offset) in zip(header.tensors, header.offsets) {
        let bytes = try file.bytes(in: offset..<offset + (tensor.shape.bytes(as: tensor.type) ?? 0))
        let digest = sha256(bytes).prefix(32)
        let entry = try #require(wanted[tensor.name])
        #expect((entry[0] as? [Int]) == tensor.shape.dimensions, "\(type) \(tensor.name)")
        #expect((entry[1] as? String) == tensor.type.name, "\(type) \(tensor.name)")
        // qtool's Q8_0 rounds ties to even, the converter's away from zero: equal errors, different bytes.
        if tensor.type != .q8_0 { #expect((entry[2] as? String) == String(digest), "\(type) \(tensor.name)") }
      }
    }
  }

  private func sha256(_ bytes: [UInt8]) -> String {
    var digest = DataDigest()
    digest.update(bytes.span.bytes)
    return digest.hex()
  }

  /// A value in the form of make.py: the type, and the value or, for an array, its digest.
  private func describe(_ value: MetadataValue) -> String {
    switch value {
    case .uint32(let x): "UINT32 \(x)"
    case .int32(let x): "INT32 \(x)"
    case .float32(let x): "FLOAT32 \(Double(x))"
    case .bool(let x): "BOOL \(x ? 1 : 0)"
    case .string(let x): "STRING \(x)"
    case .array(.string(let x)): "ARRAY STRING " + digest(x.joined(separator: "\0"))
    case .array(.bool(let x)): "ARRAY BOOL " + digest(x.map { $0 ? "True" : "False" }.joined(separator: ","))
    case .array(.float32(let x)): "ARRAY FLOAT32 " + digest(x.map { "\(Double($0))" }.joined(separator: ","))
    case .array(.int32(let x)): "ARRAY INT32 " + digest(x.map(String.init).joined(separator: ","))
    default: "\(value)"
    }
  }

  private func digest(_ text: String) -> String { sha256(Array(text.utf8)) }
}
