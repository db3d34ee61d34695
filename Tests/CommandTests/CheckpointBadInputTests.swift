import Foundation
import TestSupport
import Testing

/// Damaged or unknown Hugging Face directories: one line that names file and key, exit code 65, no file left.
@Suite struct CheckpointBadInputTests {
  let qtool = Binary(beside: .module)

  private func expect(
    _ model: DemoCopy, arguments: [String] = [], status: Int32 = 65, _ parts: String...,
    location: SourceLocation = #_sourceLocation
  ) throws {
    let out = try TemporaryDirectory()
    let result = try qtool.run(["convert", model.path, "-o", out.path("out.gguf"), "--quiet"] + arguments)
    #expect(result.status == status, "\(result.error)", sourceLocation: location)
    let lines = result.error.split(separator: "\n")
    #expect(lines.count <= 2 && lines.first?.hasPrefix("qtool: ") == true, "\(lines)", sourceLocation: location)
    for part in parts { #expect(result.error.contains(part), "\(result.error)", sourceLocation: location) }
    #expect(out.contents.isEmpty, sourceLocation: location)
    #expect(result.output.isEmpty, sourceLocation: location)
  }

  @Test func missingShard() throws {
    let model = try ReferenceModel.copy("llama-biases")
    try FileManager.default.removeItem(atPath: model.directory.path("model-00002-of-00003.safetensors"))
    try expect(model, status: 66, "model-00002-of-00003.safetensors", "model.safetensors.index.json", "hint: ")
  }

  @Test func tensorThatNoShardHolds() throws {
    let model = try ReferenceModel.copy("llama-biases")
    try model.replace(
      "\"weight_map\": {", by: "\"weight_map\": {\"model.layers.7.ghost\": \"model-00001-of-00003.safetensors\",",
      in: "model.safetensors.index.json")
    try expect(
      model, "model.safetensors.index.json", "tensor model.layers.7.ghost", "model-00001-of-00003.safetensors", "hint: "
    )
  }

  @Test(arguments: ["../../secret.safetensors", "sub/model.safetensors", "model.bin", ".."])
  func shardElsewhere(name: String) throws {
    let model = try ReferenceModel.copy("llama-biases")
    try model.set("weight_map", ["model.norm.weight": name], in: "model.safetensors.index.json")
    try expect(model, "model.safetensors.index.json", "key weight_map")
  }

  @Test func tensorThatIsMissing() throws {
    let model = try ReferenceModel.copy("qwen2")
    try model.rewriteHeader {
      $0.replacing("model.layers.1.self_attn.k_proj.bias", with: "model.layers.1.rotary_emb.inv_freq")
    }
    try expect(model, "model.safetensors", "tensor model.layers.1.self_attn.k_proj.bias", "is missing")
  }

  @Test func tensorWithoutAPlace() throws {
    let model = try ReferenceModel.copy("mixtral")
    try model.set("num_local_experts", 3)
    try model.set("num_experts_per_tok", 2)
    try expect(model, "model.safetensors", "tensor model.layers.0.block_sparse_moe", "[3, 32]")
    try model.set("num_local_experts", 4)
    try model.rewriteHeader { $0.replacing("model.norm.weight", with: "model.nrom.weight") }
    try expect(model, "model.safetensors", "tensor model.norm.weight", "is missing")
  }

  @Test(
    arguments: [
      ("llama2", "hidden_size"), ("llama2", "intermediate_size"), ("llama2", "num_hidden_layers"),
      ("llama2", "num_attention_heads"), ("llama2", "vocab_size"), ("llama2", "rms_norm_eps"),
      ("llama2", "max_position_embeddings"), ("llama2", "architectures"), ("mixtral", "num_local_experts"),
      ("mixtral", "num_experts_per_tok"), ("qwen3moe", "moe_intermediate_size"), ("deepseek3", "kv_lora_rank"),
      ("deepseek3", "qk_rope_head_dim"), ("deepseek3", "v_head_dim"),
    ])
  func keyThatIsMissing(model name: String, key: String) throws {
    let model = try ReferenceModel.copy(name)
    try model.set(key, nil)
    try expect(model, "config.json: key \(key): ")
  }

  @Test(arguments: [0, -4, 5_000_000_000, "many", 2.5] as [any Sendable])
  func numberThatIsNone(value: any Sendable) throws {
    let model = try ReferenceModel.copy("llama2")
    try model.set("num_hidden_layers", value)
    try expect(model, "config.json: key num_hidden_layers: ")
  }

  /// Counts whose product overflows, and layers whose names alone would fill memory.
  @Test func numbersThatAreTooLarge() throws {
    for (key, value) in [("hidden_size", 4_294_967_292), ("vocab_size", 4_294_967_295), ("num_hidden_layers", 10_001)] {
      let model = try ReferenceModel.copy("llama2")
      try model.set(key, value)
      try expect(model)
    }
  }

  @Test func configurationThatIsNoJSON() throws {
    let model = try ReferenceModel.copy("llama2")
    try model.truncate("config.json", to: 100)
    try expect(model, "config.json", "JSON")
  }

  @Test func scaleWithoutItsWeight() throws {
    let model = try ReferenceModel.copy("deepseek3-fp8")
    let name = "model.layers.0.mlp.down_proj.weight"
    try model.rewriteHeader { $0.replacing("\"\(name)\"", with: "\"\(name)s\"") }
    try expect(model, "model.safetensors", "tensor \(name)_scale_inv", "scale without its weight", "hint: ")
  }

  @Test(arguments: [("deepseek3-fp8", "_scale_inv"), ("llama-fp8-rows", "_scale")])
  func weightWithoutItsScale(model name: String, suffix: String) throws {
    let model = try ReferenceModel.copy(name)
    let weight = "model.layers.0.mlp.down_proj.weight"
    try model.rewriteHeader { $0.replacing("\"\(weight)\(suffix)\"", with: "\"spare.input_scale\"") }
    try expect(model, "model.safetensors", "tensor \(weight)", "has no scale")
  }

  @Test func scalesOfAnotherBlock() throws {
    let model = try ReferenceModel.copy("deepseek3-fp8")
    try model.replace(
      "\"weight_block_size\": [", by: "\"weight_block_size\": [16, 16], \"unused\": [", in: "config.json")
    try expect(model, "model.safetensors", "_scale_inv", "16 by 16")
  }

  @Test func quantizationOfAnotherKind() throws {
    let model = try ReferenceModel.copy("llama-fp8-whole")
    try model.set("quantization_config", ["quant_method": "gptq", "bits": 4])
    try expect(model, "config.json", "key quantization_config.quant_method", "gptq, and weights are stored as FP8")
  }

  /// The last tensor of the file is a norm or another weight of the last layer; its last element becomes NaN.
  @Test(arguments: [("llama2", "F16"), ("qwen3", "BF16"), ("qwen3", "auto")])
  func normThatIsNotANumber(model name: String, type: String) throws {
    let model = try ReferenceModel.copy(name)
    try model.poison("model.norm.weight")
    try expect(model, arguments: ["--type", type], "model.safetensors", "tensor output_norm.weight", "NaN", "hint: ")
  }

  /// A weight that keeps its type is copied, but checked too.
  @Test(arguments: [("llama2", "F16"), ("qwen3", "auto"), ("qwen3", "F32")])
  func weightThatIsNotANumber(model name: String, type: String) throws {
    let model = try ReferenceModel.copy(name)
    try model.poison("model.layers.1.mlp.up_proj.weight")
    try expect(
      model, arguments: ["--type", type], "model.safetensors", "tensor blk.1.ffn_up.weight", "row 0, column 0", "hint: "
    )
  }

  @Test func fileThatIsAPointerToOne() throws {
    let model = try ReferenceModel.copy("llama2")
    try Data("version https://git-lfs.example/spec/v1\noid sha256:0\nsize 4\n".utf8)
      .write(to: model.directory.url.appending(path: "model.safetensors"))
    try expect(model, "model.safetensors", "git lfs pull")
  }

  @Test func weightsOfAnotherFormat() throws {
    let model = try ReferenceModel.copy("llama2")
    let url = model.directory.url
    try FileManager.default.moveItem(
      at: url.appending(path: "model.safetensors"), to: url.appending(path: "pytorch_model.bin"))
    try expect(
      model, status: 66, "holds no safetensors weights, but PyTorch files (pytorch_model.bin)", "hint: PyTorch files")
  }

  @Test func ropeOfAnUnknownKind() throws {
    let model = try ReferenceModel.copy("qwen2")
    try model.set("rope_scaling", ["type": "dynamic", "factor": 2])
    try expect(model, "config.json: key rope_scaling.type: is \"dynamic\"", "--ignore-config rope_scaling.type")
    try model.set("rope_scaling", ["type": "yarn"])
    try expect(model, "config.json", "key rope_scaling.factor")
  }

  @Test(
    arguments: [
      ("[1]", "is not a JSON object"), ("{\"general.name\": 1}", "key general.name"),
      ("{\"llama.block_count\": 1}", "key llama.block_count"), ("{\"general.tags\": [1]}", "key general.tags"),
      ("{\"general.base_models\": [\"x\"]}", "key general.base_models"), ("{", "JSON"),
    ])
  func metadataOfAnotherForm(text: String, reason: String) throws {
    let model = try ReferenceModel.copy("llama2")
    try Data(text.utf8).write(to: model.directory.url.appending(path: "about.json"))
    try expect(model, arguments: ["--metadata", model.directory.path("about.json")], "about.json", reason)
  }
}

extension DemoCopy {
  /// Overwrites the first element of a tensor in model.safetensors with a NaN (half or bfloat).
  fileprivate func poison(_ name: String) throws {
    let url = directory.url.appending(path: "model.safetensors")
    var data = try Data(contentsOf: url)
    let size = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try JSONSerialization.jsonObject(with: data[8..<8 + size]) as? [String: Any]
    let entry = try #require(header?[name] as? [String: Any])
    let start = 8 + size + (try #require(entry["data_offsets"] as? [Int]))[0]
    data[start] = 0xFF
    data[start + 1] = 0x7F
    try data.write(to: url)
  }
}
