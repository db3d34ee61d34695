import Checkpoint
import Files
import Foundation
import GGUF
import TestSupport
import Testing

/// Models that are a part of a larger one, with towers and blocks for multi-token prediction.
@Suite struct NestedConfigTests {
  private let copy: DemoCopy

  init() throws { copy = try ReferenceModel.copy("qwen35") }

  private func set(_ key: String, _ value: Any?) throws {
    let url = URL(filePath: copy.path + "/config.json")
    let root = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
    var text = try #require(root["text_config"] as? [String: Any])
    text[key] = value
    try copy.set("text_config", text)
  }

  @Test func textOfALargerModel() throws {
    let model = try CheckpointDirectory(path: copy.path)
    #expect(model.configReview.towers == ["vision_config"])
    #expect(model.configReview.unknown == [])
    #expect(model.metadata["qwen35.embedding_length"] == .uint32(32))
    #expect(model.metadata["qwen35.block_count"] == .uint32(5))
    #expect(model.metadata["qwen35.nextn_predict_layers"] == .uint32(1))
    #expect(model.tensor(named: "blk.4.nextn.eh_proj.weight")?.shape.dimensions == [64, 32])
    #expect(!model.tensors.contains { $0.name.hasPrefix("v.") || $0.name.contains("visual") })
    let shapes = try ModelShapes(path: copy.path)
    #expect(shapes.tensors.map(\.name) == model.tensors.map(\.name))
    #expect(shapes.tensors.map(\.shape) == model.tensors.map(\.shape))
    #expect(shapes.tensors.map(\.type) == model.tensors.map(\.type))
  }

  @Test func predictionIsLeftOut() throws {
    for model in [
      try CheckpointDirectory(path: copy.path, carriesPrediction: false) as any ModelSource,
      try ModelShapes(path: copy.path, carriesPrediction: false),
    ] {
      #expect(model.metadata["qwen35.block_count"] == .uint32(4))
      #expect(model.metadata["qwen35.nextn_predict_layers"] == nil)
      #expect(!model.tensors.contains { $0.name.hasPrefix("blk.4.") })
    }
  }

  @Test func declaredPredictionThatIsNotStored() throws {
    try copy.edit { content in
      for name in content.names where name.hasPrefix("mtp.") { content[name] = nil }
    }
    let model = try CheckpointDirectory(path: copy.path)
    #expect(model.notes == [.predictionBlocks(declared: 1, stored: 0)])
    #expect(model.metadata["qwen35.block_count"] == .uint32(4))
  }

  @Test(
    arguments: [
      ("layer_types", "[\"linear_attention\", \"sliding_attention\", \"x\", \"x\"]", "sliding_attention"),
      ("linear_value_head_dim", "16", "16"), ("mtp_num_hidden_layers", "2", "2"),
      ("attn_output_gate", "false", "false"),
      ("attention_bias", "true", "true"), ("hidden_act", "\"gelu\"", "gelu"), ("mlp_only_layers", "[1]", "[1]"),
      ("partial_rotary_factor", "0.5", "0.5"), ("mtp_use_dedicated_embeddings", "true", "true"),
    ])
  func refusedByKeyAndValue(key: String, json: String, value: String) throws {
    try set(key, try JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed))
    let error = try #require(throws: RefusedConfig.self) { try CheckpointDirectory(path: copy.path) }
    #expect(error.keys.map(\.name) == [key])
    #expect(error.keys.first?.value.contains(value) == true)
  }

  @Test func wrongValuesAreNamed() throws {
    for (key, value) in [
      ("layer_types", ["linear_attention"] as Any), ("linear_num_value_heads", 3), ("linear_num_key_heads", 0),
    ] {
      let old = try ReferenceModel.copy("qwen35")
      try FileManager.default.removeItem(atPath: copy.path + "/config.json")
      try FileManager.default.copyItem(atPath: old.path + "/config.json", toPath: copy.path + "/config.json")
      try set(key, value)
      let error = try #require(throws: FormatError.self) { try CheckpointDirectory(path: copy.path) }
      #expect(error.subject == "key \(key)")
    }
  }
}
