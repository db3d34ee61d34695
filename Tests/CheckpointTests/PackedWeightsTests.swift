import Blocks
import Checkpoint
import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// Weights that other quantizers packed. Tests/CommandTests compares their values with the reference converter's.
@Suite struct PackedWeightsTests {
  private func floats(_ tensor: TensorInfo, of model: any ModelSource) throws -> [Float] {
    var floats = [Float](repeating: 0, count: tensor.shape.count)
    var span = floats.mutableSpan
    try model.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &span)
    return floats
  }

  private func message(_ model: DemoCopy) throws -> String {
    try #require(throws: FormatError.self) {
      let directory = try CheckpointDirectory(path: model.path)
      for tensor in directory.tensors {
        _ = try floats(tensor, of: directory)
        var bytes = [UInt8](repeating: 0, count: tensor.shape.bytes(as: tensor.type) ?? 0)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try directory.readBytes(of: tensor, rows: 0..<tensor.shape.rows, into: &raw)
      }
    }.description
  }

  /// Blocks hold the numbers that rows have as floats. Rows of heads are interleaved, and rows of experts alternate.
  @Test(arguments: [
    ("llama-int4", GGMLType.q4_0, 7), ("llama-int8", .q8_0, 7), ("gpt-oss-mxfp4", .mxfp4, 6),
  ]) func blocksHoldTheFloats(name: String, type: GGMLType, count: Int) throws {
    let model = try ReferenceModel.copy(name)
    let directory = try CheckpointDirectory(path: model.path)
    let tensors = directory.tensors.filter { $0.type == type }
    #expect(tensors.count == count)
    for tensor in tensors {
      let expected = try floats(tensor, of: directory)
      for rows in [0..<tensor.shape.rows, 1..<3, tensor.shape.rows - 5..<tensor.shape.rows] {
        let columns = tensor.shape.columns
        var bytes = [UInt8](repeating: 0, count: rows.count * type.rowBytes(columns: columns)!)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try directory.readBytes(of: tensor, rows: rows, into: &raw)
        var decoded = [Float](repeating: 0, count: rows.count * columns)
        var output = decoded.mutableSpan
        decodeRows(bytes.span.bytes, as: type, into: &output)
        #expect(decoded == Array(expected[rows.lowerBound * columns..<rows.upperBound * columns]), "\(tensor.name)")
      }
    }
  }

  /// Sizes can be planned from config.json alone.
  @Test(arguments: ["llama-int4", "llama-int4-zeros", "llama-int8", "llama-nvfp4", "gpt-oss", "gpt-oss-mxfp4"])
  func typesFollowFromTheConfiguration(name: String) throws {
    let model = try ReferenceModel.copy(name)
    #expect(try ModelShapes(path: model.path).tensors == CheckpointDirectory(path: model.path).tensors)
  }

  /// One model with integers of two sizes and NVFP4.
  @Test func severalFormsInOneModel() throws {
    let model = try ReferenceModel.copy("llama-int4")
    for (name, module) in [("llama-int8", "mlp.up_proj"), ("llama-nvfp4", "mlp.down_proj")] {
      let copy = try ReferenceModel.copy(name)
      let other = try SafetensorsContent(path: copy.path + "/model.safetensors")
      try model.edit { content in
        for name in content.names where name.contains(module) { content[name] = nil }
        for name in other.names where name.contains(module) { content[name] = other[name] }
      }
    }
    let directory = try CheckpointDirectory(path: model.path)
    func type(_ name: String) -> GGMLType? { directory.tensor(named: "blk.0.\(name).weight")?.type }
    #expect(type("ffn_gate") == .q4_0 && type("ffn_up") == .q8_0 && type("ffn_down") == .bf16)
    for (name, tensor) in [("llama-int8", "blk.0.ffn_up.weight"), ("llama-nvfp4", "blk.0.ffn_down.weight")] {
      let copy = try ReferenceModel.copy(name)
      let other = try CheckpointDirectory(path: copy.path)
      let info = try #require(other.tensor(named: tensor))
      #expect(try floats(info, of: other) == floats(info, of: directory))
    }
  }

  @Test(arguments: [
    ("gpt-oss-mxfp4", "model.layers.1.mlp.experts.down_proj_scales"),
    ("gpt-oss-mxfp4", "model.layers.1.mlp.experts.gate_up_proj_blocks"),
    ("llama-int4", "model.layers.0.mlp.up_proj.weight_scale"),
    ("llama-int4", "model.layers.0.mlp.up_proj.weight_shape"),
    ("llama-nvfp4", "model.layers.0.mlp.up_proj.weight_global_scale"),
    ("llama-nvfp4-modelopt", "model.layers.0.mlp.up_proj.weight_scale"),
    ("llama-gptq", "model.layers.0.mlp.up_proj.scales"), ("llama-gptq", "model.layers.0.mlp.up_proj.qzeros"),
  ]) func missingTensor(name: String, tensor: String) throws {
    let model = try ReferenceModel.copy(name)
    try model.edit { $0[tensor] = nil }
    #expect(try message(model).contains("tensor \(tensor): is missing"))
  }

  @Test(arguments: [
    ("gpt-oss-mxfp4", "model.layers.1.mlp.experts.down_proj_scales"),
    ("llama-int4", "model.layers.0.mlp.up_proj.weight_scale"),
    ("llama-int4-zeros", "model.layers.0.mlp.up_proj.weight_zero_point"),
    ("llama-nvfp4", "model.layers.0.mlp.up_proj.weight_scale"), ("llama-gptq", "model.layers.0.mlp.up_proj.scales"),
    ("llama-gptq", "model.layers.0.mlp.up_proj.g_idx"), ("llama-int8", "model.layers.0.mlp.up_proj.weight_scale"),
  ]) func wrongShape(name: String, tensor: String) throws {
    let model = try ReferenceModel.copy(name)
    try model.edit { content in
      var shape = try #require(content[tensor]).shape
      let bytes = try #require(content[tensor]).bytes
      shape[0] -= 1
      let count = bytes.count / (shape[0] + 1) * shape[0]
      content[tensor] = .init(dtype: content[tensor]!.dtype, shape: shape, bytes: Array(bytes.prefix(count)))
    }
    #expect(try message(model).contains("tensor \(tensor): has"))
  }

  @Test func scaleThatIsNotANumber() throws {
    let name = "model.layers.1.mlp.experts.down_proj_scales"
    let model = try ReferenceModel.copy("gpt-oss-mxfp4")
    try model.edit { $0[name]?.bytes[5] = 255 }
    let text = try message(model)
    #expect(text.contains("tensor \(name): the scale in row 2 is NaN") && text.contains("at byte"))
  }

  /// A group that does not exist.
  @Test func wrongGroup() throws {
    let model = try ReferenceModel.copy("llama-gptq")
    try model.edit { $0["model.layers.0.mlp.up_proj.g_idx"]?.bytes[0] = 200 }
    #expect(try message(model).contains("up_proj.g_idx: names a group beyond 3"))
  }

  /// Scales beyond half precision have no blocks.
  @Test func scaleBeyondHalfPrecision() throws {
    let model = try ReferenceModel.copy("llama-int4")
    try model.edit { $0["model.layers.0.mlp.up_proj.weight_scale"]?.bytes.replaceSubrange(0..<2, with: [0, 0x60]) }
    #expect(try message(model).contains("up_proj.weight_scale: the scale in row 0 is beyond half precision"))
  }

  @Test func rotationsAreRefused() throws {
    let model = try ReferenceModel.copy("llama-int4")
    try model.set(
      "quantization_config",
      ["quant_method": "compressed-tensors", "transform_config": ["config_groups": ["a": ["type": "hadamard"]]]]
        as [String: Any])
    #expect(try message(model).contains("key quantization_config.transform_config: declares rotations"))
  }

  @Test(arguments: [
    ("swiglu_limit", "5.0", "swiglu_limit: is 5;"), ("swiglu_alpha", "1.5", "swiglu_alpha: is 1.5"),
    ("attention_bias", "false", "attention_bias: is false"), ("sliding_window", "null", "sliding_window: is null"),
    ("layer_types", #"["full_attention", "chunked_attention"]"#, #"layer_types: is "chunked_attention""#),
    ("layer_types", #"["full_attention"]"#, "layer_types: is 1 kinds"),
    (
      "layer_types", #"["full_attention", "sliding_attention"]"#,
      #"layer_types: is "full_attention" in layer 0; readers of gpt-oss give layers 0, 2, 4 and so on a window"#
    ),
    ("experts_per_token", "3", "experts_per_token: is 3; num_experts_per_tok is 2"),
    (
      "initial_context_length", "2048",
      "initial_context_length: is 2048; rope_parameters.original_max_position_embeddings is 4096"
    ),
    ("rope_theta", "10000", "rope_theta: is 10000; rope_parameters.rope_theta is 150000"),
    ("rope_parameters", "null", "rope_parameters: is absent, which means YaRN"),
    ("hidden_act", #""gelu""#, #"hidden_act: is "gelu""#),
  ]) func valuesThatGptOssDoesNotHave(key: String, value: String, expected: String) throws {
    let model = try ReferenceModel.copy("gpt-oss")
    try model.set(key, try JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed))
    let error = try #require(throws: RefusedConfig.self) { try CheckpointDirectory(path: model.path) }
    #expect(error.description.contains("key " + expected), "\(error)")
  }
}
