import Foundation
import GGUF
import Plan
import Quantize
import Tensors
import TestSupport
import Testing

/// Plans from parts of files.
@Suite struct PlanSourceTests {
  private func keys() -> Metadata {
    [
      "general.architecture": .string("llama"), "llama.block_count": .uint32(6), "llama.embedding_length": .uint32(64),
      "llama.attention.head_count": .uint32(4), "llama.attention.head_count_kv": .uint32(2),
      "llama.feed_forward_length": .uint32(96), "llama.context_length": .uint32(512),
    ]
  }

  private func tensors() -> [TensorInfo] {
    func tensor(_ name: String, _ dimensions: [Int], _ type: GGMLType = .f16) -> TensorInfo {
      TensorInfo(name: name, shape: Shape(dimensions)!, type: type)
    }
    var all = [tensor("token_embd.weight", [64, 100])]
    for layer in 0..<6 {
      all += [
        tensor("blk.\(layer).attn_norm.weight", [64], .f32), tensor("blk.\(layer).attn_q.weight", [64, 64]),
        tensor("blk.\(layer).attn_k.weight", [64, 32]), tensor("blk.\(layer).ffn_down.weight", [96, 64]),
      ]
    }
    return all + [tensor("output_norm.weight", [64], .f32), tensor("output.weight", [64, 100])]
  }

  /// Writes the headers of a model's shards, without data, the first `count` of them.
  private func headers(_ directory: TemporaryDirectory, limit: Int, count: Int) throws -> String {
    let shards = try GGUFShards(metadata: keys(), tensors: tensors(), limit: .tensors(limit))
    let paths = shards.paths(directory.path("model.gguf"))
    for (path, layout) in zip(paths, shards.layouts).prefix(count) {
      try Data(layout.header).write(to: URL(filePath: path))
    }
    return paths[0]
  }

  @Test func theFirstShardGivesAllShapes() throws {
    let out = try TemporaryDirectory()
    let model = try PlanSource(try headers(out, limit: 12, count: 1)).model
    func sorted(_ tensors: [TensorInfo]) -> [TensorInfo] { tensors.sorted { $0.name < $1.name } }
    #expect(sorted(model.tensors) == sorted(tensors()))
  }

  @Test func shardsThatShowTooLittleAreRefused() throws {
    let out = try TemporaryDirectory()
    let path = try headers(out, limit: 3, count: 1)
    #expect {
      try PlanSource(path)
    } throws: { error in
      guard let error = error as? PlanError else { return false }
      return error.kind == .missing && error.description.contains("of 27 tensors")
    }
  }

  @Test func missingKeysAreNamed() throws {
    var keys = keys()
    keys.removeValue(forKey: "llama.attention.head_count")
    let model = TypedShapes(name: "m", metadata: keys, tensors: tensors())
    #expect {
      try ModelDimensions(of: model)
    } throws: { error in
      guard let error = error as? PlanError else { return false }
      return error.description == "m: key llama.attention.head_count: is missing"
        && error.hint?.contains(".attention.head_count_kv") == true
    }
  }

  /// Extreme numbers in untrusted files do not overflow.
  @Test(arguments: [
    "block_count", "embedding_length", "attention.head_count", "attention.head_count_kv", "attention.key_length",
    "attention.value_length", "feed_forward_length", "expert_count", "expert_feed_forward_length",
    "attention.kv_lora_rank", "attention.key_length_mla", "vocab_size",
  ])
  func absurdNumbers(key: String) throws {
    let machine = try Machines.named("h100")
    for number in [UInt64(1) << 13, 1 << 16, 1 << 24, 1 << 31, .max] {
      var keys = keys()
      keys["llama.rope.dimension_count"] = .uint32(64)
      keys["llama.expert_used_count"] = .uint32(8)
      keys["llama.attention.kv_lora_rank"] = .uint32(512)
      keys["llama." + key] = .uint64(number)
      let model = TypedShapes(name: "m", metadata: keys, tensors: tensors())
      guard var plan = try? MemoryPlan(model, machine: machine, context: 1 << 24) else {
        #expect(number > 1 << 13)
        continue
      }
      plan.addUnchanged(named: "m")
      #expect(plan.rows[0].totalBytes > plan.cacheBytes)
    }
  }

  @Test(arguments: [
    (Float(40), "yarn by 40"), (1.5, "yarn by 1.5"), (1e30, "yarn by 1e+30"), (.infinity, "yarn by inf"),
  ])
  func ropeFactors(factor: Float, text: String) throws {
    var keys = keys()
    keys["llama.rope.scaling.type"] = .string("yarn")
    keys["llama.rope.scaling.factor"] = .float32(factor)
    #expect(try ModelDimensions(of: TypedShapes(name: "m", metadata: keys, tensors: tensors())).ropeScaling == text)
  }

  @Test func headsThatNoBlockFits() throws {
    var keys = keys()
    keys["llama.attention.key_length"] = .uint32(20)
    let model = TypedShapes(name: "m", metadata: keys, tensors: tensors())
    #expect(throws: PlanError.self) {
      try MemoryPlan(model, machine: try Machines.named("h100"), context: 512, cache: .q8_0)
    }
  }

  /// Heads may differ from layer to layer, and a layer may have none.
  @Test(arguments: [
    MetadataArray.uint32([2, 2, 0, 0, 4, 4]), .uint16([2, 2, 0, 0, 4, 4]), .int8([2, 2, 0, 0, 4, 4]),
  ])
  func headsByLayer(heads: MetadataArray) throws {
    var keys = keys()
    keys["llama.attention.head_count_kv"] = .array(heads)
    let cache = KeyValueCache(try ModelDimensions(of: TypedShapes(name: "m", metadata: keys, tensors: tensors())))
    #expect(cache.bytesPerToken(.f16) == 12 * (16 + 16) * 2)
  }
}
