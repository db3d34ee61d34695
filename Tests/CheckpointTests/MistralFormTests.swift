import Checkpoint
import Files
import Foundation
import GGUF
import TestSupport
import Testing

/// Mistral's own form of a model: params.json, consolidated weights and tekken.json. `ReferenceConverterTests` compares the
/// result with llama.cpp's converter.
@Suite struct MistralFormTests {
  private let model: DemoCopy

  init() throws { model = try ReferenceModel.copy("mistral-large3") }

  private func message(_ model: DemoCopy? = nil, ignoring: [String] = []) -> String {
    do {
      _ = try CheckpointDirectory(path: (model ?? self.model).path, ignoring: ignoring)
      return ""
    } catch {
      return "\(error)" + ((error as? FormatError)?.hint.map { "; " + $0 } ?? "")
    }
  }

  private func set(_ key: String, _ field: String, _ value: Any?, in model: DemoCopy) throws {
    let data = try Data(contentsOf: URL(filePath: model.directory.path("params.json")))
    let root = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    var object = try #require(root[key] as? [String: Any])
    object[field] = value
    try model.set(key, object, in: "params.json")
  }

  @Test func missingKeysAreNamedAsInTheFile() throws {
    for key in ["dim", "n_layers", "hidden_dim", "vocab_size"] {
      let model = try ReferenceModel.copy("mistral-large3")
      try model.set(key, nil, in: "params.json")
      #expect(message(model).contains("params.json: key \(key): is missing"))
    }
  }

  @Test func unsupportedValuesAreNamedAsInTheFile() throws {
    try set("moe", "num_expert_groups", 2, in: model)
    #expect(message().contains("key moe.num_expert_groups: is 2; a GGUF of deepseek2 means 1"))
    try set("moe", "num_expert_groups", 1, in: model)
    try set("yarn", "beta", 16, in: model)
    #expect(message().contains("key yarn.beta: is 16; a GGUF of deepseek2 means 32"))
    #expect(try ConfigReview.ignorableKeys(path: model.path) == ["yarn.beta"])
    #expect(message(ignoring: ["yarn.beta"]).isEmpty)
  }

  @Test func growthOfScores() throws {
    try set("llama_4_scaling", "original_max_position_embeddings", 32, in: model)
    #expect(message().contains("key llama_4_scaling.original_max_position_embeddings: is 32, and that of yarn"))
    try model.set("yarn", nil, in: "params.json")
    #expect(message().contains("key llama_4_scaling: is not supported without yarn"))
  }

  @Test func otherForms() throws {
    try model.set("quantization", ["qformat_weight": "int4"], in: "params.json")
    #expect(message().contains("key quantization.qformat_weight: is \"int4\""))
    try model.set("quantization", nil, in: "params.json")
    try model.set("kv_lora_rank", nil, in: "params.json")
    #expect(message().contains("key moe: declares experts without latent attention, as Mixtral has"))
  }

  @Test func twoNamesOfOneValue() throws {
    try model.set("hidden_size", 64, in: "params.json")
    #expect(message().contains("params.json: key hidden_size: is 64, and dim 32"))
  }

  @Test func unknownKeysAreListed() throws {
    try set("moe", "dropless", true, in: model)
    try model.set("novel", 3, in: "params.json")
    #expect(try CheckpointDirectory(path: model.path).configReview.unknown == ["moe.dropless", "novel"])
  }

  @Test func missingLengthIsNoted() throws {
    try model.set("max_position_embeddings", nil, in: "params.json")
    let opened = try CheckpointDirectory(path: model.path)
    #expect(opened.metadata["deepseek2.context_length"] == .uint32(128_000))
    #expect(opened.notes.contains { "\($0)".contains("key max_position_embeddings is missing") })
  }

  /// YaRN that scales cosines and sines as well: readers derive the magnitude from the factor.
  @Test func appliedScale() throws {
    let model = try ReferenceModel.copy("ministral3-native")
    try set("yarn", "apply_scale", true, in: model)
    let metadata = try CheckpointDirectory(path: model.path).metadata
    #expect(metadata["mistral3.rope.scaling.yarn_log_multiplier"] == .float32(0))
    #expect(metadata["mistral3.rope.scaling.attn_factor"] == nil)
    // Without growth of scores the architecture is llama, whose readers take the magnitude from another key.
    try model.set("llama_4_scaling", nil, in: "params.json")
    #expect(try CheckpointDirectory(path: model.path).metadata["llama.rope.scaling.attn_factor"] == nil)
    try set("yarn", "apply_scale", false, in: model)
    let factor = try #require(
      try CheckpointDirectory(path: model.path).metadata.optionalFloat("llama.rope.scaling.attn_factor"))
    #expect(abs(factor - 1 / (1 + 0.1 * Float(log(8.0)))) < 1e-6)
  }

  @Test func tensorsAreNamedAsInTheFiles() throws {
    let model = try ReferenceModel.copy("mistral-native")
    let file = "consolidated.safetensors"
    let (name, other) = ("layers.1.attention.wq.weight", "layers.1.attention.wx.weight")
    try model.rewriteHeader(of: file) { $0.replacing(name, with: other) }
    #expect(message(model).contains("tensor layers.1.attention.wq.weight: is missing; params.json implies it"))
    try model.rewriteHeader(of: file) { $0.replacing(other, with: name) }
    try model.set("hidden_dim", 64, in: "params.json")
    #expect(
      message(model).contains("layers.0.feed_forward.w1.weight: has shape [48, 32]; params.json implies [64, 32]"))
  }

  /// If a directory has both forms, that of `transformers` is read, unless a file of the other is named.
  @Test func bothForms() throws {
    let model = try ReferenceModel.copy("llama2")
    let native = try ReferenceModel.copy("mistral-native")
    for name in ["params.json", "consolidated.safetensors", "tekken.json"] {
      try FileManager.default.copyItem(atPath: native.directory.path(name), toPath: model.directory.path(name))
    }
    let hugging = try CheckpointDirectory(path: model.path)
    #expect(hugging.files == [model.directory.path("model.safetensors")])
    let named = try CheckpointDirectory(path: model.directory.path("consolidated.safetensors"))
    #expect(named.metadata.optionalStrings("tokenizer.ggml.tokens")?.count == 324)
    // A config.json alone does not make the other form.
    try FileManager.default.removeItem(atPath: model.directory.path("model.safetensors"))
    let alone = try CheckpointDirectory(path: model.path)
    #expect(alone.files == [model.directory.path("consolidated.safetensors")])
    #expect(alone.notes.contains { "\($0)".contains("config.json: is not read") })
  }

  /// Meta's form has a params.json too.
  @Test func anotherFormHasNoIgnorableKeys() throws {
    let directory = try TemporaryDirectory()
    for name in ["params.json", "consolidated.00.pth"] {
      try "{}".write(toFile: directory.path(name), atomically: true, encoding: .utf8)
    }
    #expect(try ConfigReview.ignorableKeys(path: directory.url.path) == [])
  }

  @Test func missingShard() throws {
    try FileManager.default.removeItem(atPath: model.directory.path("consolidated-00002-of-00002.safetensors"))
    #expect(message().contains("consolidated-00002-of-00002.safetensors: key weight_map: is named in consolidated"))
  }

  @Test func shapesWithoutWeights() throws {
    let shapes = try ModelShapes(path: model.directory.path("params.json"))
    #expect(Set(shapes.tensors.map(\.name)) == Set(try CheckpointDirectory(path: model.path).tensors.map(\.name)))
  }
}
