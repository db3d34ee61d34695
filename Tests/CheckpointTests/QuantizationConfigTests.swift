import Checkpoint
import Files
import Foundation
import GGUF
import TestSupport
import Testing

/// Weights of other quantizers are refused with the quantizer's name. config.json alone is not a reason to refuse.
@Suite struct QuantizationConfigTests {
  private typealias Tensor = SafetensorsContent.Tensor
  private let model: DemoCopy

  init() throws { model = try ReferenceModel.copy("llama2") }

  private func zeros(_ dtype: String, _ shape: [Int], bytes: Int) -> Tensor {
    Tensor(dtype: dtype, shape: shape, bytes: [UInt8](repeating: 0, count: shape.reduce(bytes, *)))
  }

  /// Replaces one matrix by tensors whose names begin with the matrix's name.
  private func pack(_ tensors: [(suffix: String, dtype: String, shape: [Int], bytes: Int)]) throws {
    try model.edit { content in
      content["model.layers.1.mlp.up_proj.weight"] = nil
      for tensor in tensors {
        content["model.layers.1.mlp.up_proj" + tensor.suffix] = zeros(tensor.dtype, tensor.shape, bytes: tensor.bytes)
      }
    }
  }

  private func message() throws -> String {
    let error = try #require(throws: FormatError.self) { try CheckpointDirectory(path: model.path) }
    return error.description + " | " + (error.hint ?? "")
  }

  private static let forms: [(form: String, tensors: [(String, String, [Int], Int)], config: String, named: String)] = [
    (
      "GPTQ or AWQ",
      [(".qweight", "I32", [3, 64], 4), (".qzeros", "I32", [1, 6], 4), (".scales", "F16", [1, 64], 2)],
      #"{"quant_method": "gptq", "bits": 3}"#, "key quantization_config: declares weights packed with GPTQ, 3 bits"
    ),
    (
      "GPTQ or AWQ",
      [(".qweight", "I32", [32, 8], 4), (".qzeros", "I32", [1, 8], 4), (".scales", "F16", [1, 64], 2)],
      #"{"quant_method": "awq", "bits": 4}"#, "key quantization_config: declares weights packed with AWQ, 4 bits"
    ),
    (
      "bitsandbytes",
      [(".weight", "U8", [1024, 1], 1), (".weight.absmax", "U8", [32], 1), (".weight.quant_map", "F32", [16], 4)],
      #"{"quant_method": "bitsandbytes", "load_in_4bit": true}"#,
      "key quantization_config: declares weights packed with bitsandbytes, 4 bits"
    ),
    (
      "compressed-tensors", [(".weight_packed", "I8", [64, 16], 1), (".weight_scale", "F16", [64, 1], 2)],
      #"{"quant_method": "compressed-tensors", "format": "marlin-24"}"#,
      "key quantization_config.format: is marlin-24 (compressed-tensors)"
    ),
    (
      "bytes with scales", [(".weight", "U8", [64, 16], 1), (".weight_scale", "F16", [64, 1], 2)],
      #"{"quant_method": "modelopt"}"#, "key quantization_config: declares weights packed with ModelOpt"
    ),
    (
      "MLX", [(".weight", "U32", [64, 4], 4), (".scales", "F16", [64, 1], 2), (".biases", "F16", [64, 1], 2)],
      #"{"group_size": 32, "bits": 4}"#, "key quantization_config: declares an MLX model with quantized weights, 4 bits"
    ),
  ]

  @Test(arguments: forms.indices)
  func packedWeights(index: Int) throws {
    let (form, tensors, config, named) = Self.forms[index]
    try pack(tensors)
    let plain = try message()
    #expect(plain.contains("holds weights that are packed as \(form)"), "\(plain)")
    let value = try JSONSerialization.jsonObject(with: Data(config.utf8))
    try model.set("quantization_config", value)
    let text = try message()
    #expect(text.contains("config.json: \(named)") && text.contains("quantize from the original model"), "\(text)")
  }

  /// MLX has another key.
  @Test func modelsOfMLX() throws {
    try pack([(".weight", "U32", [64, 4], 4), (".scales", "F16", [64, 1], 2), (".biases", "F16", [64, 1], 2)])
    try model.set("quantization", ["group_size": 32, "bits": 4])
    #expect(try message().contains("key quantization: declares an MLX model with quantized weights, 4 bits"))
  }

  /// The weights were decoded, and config.json was not updated.
  @Test(arguments: [
    ("quantization_config", #"{"group_size": 64, "bits": 4}"#, nil),
    ("quantization", #"{"group_size": 64, "bits": 4}"#, nil),
    ("quantization_config", #"{"quant_method": "gptq", "bits": 4}"#, "gptq"),
    ("quantization_config", #"{"quant_method": "bitsandbytes", "load_in_4bit": true}"#, "bitsandbytes"),
    ("quantization_config", #"{"quant_method": "compressed-tensors", "format": "dense"}"#, "compressed-tensors"),
    ("quantization_config", #"{"quant_method": "quark"}"#, "quark"),
    ("quantization_config", #"{"quant_method": "torchao"}"#, "torchao"),
    (
      "quantization_config",
      #"{"quant_method": "compressed-tensors", "transform_config": {"config_groups": {"R1": {"#
        + #""type": "hadamard", "apply": [{"location": "weight_input"}, {"location": "weight_output"}]}}}}"#,
      "compressed-tensors"
    ),
  ])
  func plainWeights(key: String, value: String, method: String?) throws {
    let tensors = try CheckpointDirectory(path: model.path).tensors
    try model.set(key, try JSONSerialization.jsonObject(with: Data(value.utf8)))
    let directory = try CheckpointDirectory(path: model.path)
    #expect(directory.notes == [.plainWeights(key: key, method: method)])
    #expect(directory.tensors == tensors)
  }

  /// BitNet's weights may be stored as floats that are rounded when they are used.
  @Test func unknownMethodIsRefused() throws {
    try model.set("quantization_config", ["quant_method": "bitnet"])
    let text = try message()
    #expect(text.contains("key quantization_config.quant_method: is bitnet"))
    #expect(text.contains("known: compressed-tensors, fbgemm_fp8, fp8, gptq, modelopt, mxfp4"))
  }

  /// Rotations of hidden states are a part of the model, also where weights are plain.
  @Test func rotationsOfStatesAreRefused() throws {
    let apply = ["apply": [["location": "input"], ["location": "weight_input"]]]
    try model.set(
      "quantization_config",
      ["quant_method": "compressed-tensors", "transform_config": ["config_groups": ["R4": apply]]] as [String: Any])
    #expect(try message().contains("key quantization_config.transform_config: declares rotations"))
  }

  /// Blocks larger than any matrix.
  @Test func hugeBlocks() throws {
    let copy = try ReferenceModel.copy("deepseek3-fp8")
    try copy.set(
      "quantization_config", ["quant_method": "fp8", "weight_block_size": [Int.max, Int.max]] as [String: Any])
    let error = try #require(throws: FormatError.self) { try CheckpointDirectory(path: copy.path) }
    #expect(error.subject?.hasSuffix("_scale_inv") == true)
  }
}
