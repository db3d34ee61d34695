import GGUF
import TestSupport
import Testing
import Transformer

@Suite(.serialized) struct BadInputTests {
  private func changed(
    _ change: (inout Metadata, inout [(name: String, shape: [Int], values: [Float])]) -> Void
  ) -> MemoryModel {
    let model = RandomLlama().model()
    var metadata = model.metadata
    var tensors = model.tensors.map { (name: $0.name, shape: $0.shape.dimensions, values: model.values(of: $0.name)) }
    change(&metadata, &tensors)
    return MemoryModel(metadata: metadata, tensors: tensors)
  }

  @Test func anUnknownArchitectureListsTheSupportedOnes() throws {
    let model = changed { metadata, _ in metadata["general.architecture"] = .string("mamba") }
    let error = try #require(throws: ForwardError.self) { try ForwardPass(source: model) }
    guard case .unknownArchitecture("mamba", let supported) = error else { throw error }
    #expect(supported.contains("deepseek2") && supported.contains("llama") && supported == supported.sorted())
  }

  @Test(arguments: ["llama.block_count", "llama.embedding_length", "llama.attention.head_count"])
  func aMissingKeyIsNamed(key: String) {
    let model = changed { metadata, _ in metadata[key] = nil }
    #expect(throws: ForwardError.missingKey(key)) { try ForwardPass(source: model) }
  }

  @Test(arguments: [UInt32(0), .max])
  func anAbsurdCountIsRefused(count: UInt32) {
    let model = changed { metadata, _ in metadata["llama.block_count"] = .uint32(count) }
    #expect(throws: ForwardError.self) { try ForwardPass(source: model) }
  }

  /// Products of these numbers would overflow, and differences would be negative.
  @Test(arguments: [
    ("llama.attention.head_count", MetadataValue.array(.uint64([UInt64(Int.max), UInt64(Int.max)]))),
    ("llama.feed_forward_length", .array(.uint64([UInt64(Int.max)]))),
    ("llama.attention.head_count", .uint32(1 << 31)), ("llama.nextn_predict_layers", .uint32(2)),
    ("llama.nextn_predict_layers", .uint32(3)),
  ])
  func anAbsurdNumberIsNamed(key: String, value: MetadataValue) throws {
    let model = changed { metadata, _ in metadata[key] = value }
    let error = try #require(throws: ForwardError.self) { try ForwardPass(source: model) }
    guard case .invalidKey(key, _) = error else {
      Issue.record("\(error)")
      return
    }
  }

  @Test func aMissingTensorIsNamed() {
    let model = changed { _, tensors in tensors.removeAll { $0.name == "blk.1.ffn_up.weight" } }
    #expect(throws: ForwardError.missingTensor("blk.1.ffn_up.weight")) { try ForwardPass(source: model) }
  }

  @Test func aWrongShapeIsNamed() {
    let model = changed { _, tensors in
      let index = tensors.firstIndex { $0.name == "blk.0.attn_k.weight" }!
      tensors[index] = (tensors[index].name, [32, 8], [Float](repeating: 0, count: 256))
    }
    #expect(
      throws: ForwardError.wrongShape(tensor: "blk.0.attn_k.weight", found: "[32, 8]", expected: "[32, 16]")
    ) { try ForwardPass(source: model) }
  }

  @Test(arguments: [Float.nan, .infinity])
  func nonFiniteResultsNameTheTensor(value: Float) throws {
    let model = changed { _, tensors in
      let index = tensors.firstIndex { $0.name == "blk.1.ffn_down.weight" }!
      tensors[index].values[5] = value
    }
    let pass = try ForwardPass(source: model)
    #expect(throws: ForwardError.nonFinite(tensor: "blk.1.ffn_down.weight", window: 0, position: 0)) {
      try pass.run(windows: RandomLlama().windows(2, length: 8), scored: 0..<8)
    }
  }

  @Test func windowsThatCannotBeRunAreRefused() throws {
    let pass = try ForwardPass(source: RandomLlama().model())
    #expect(throws: ForwardError.noWindows) { try pass.embed([]) }
    #expect(throws: ForwardError.unequalWindows(index: 1, count: 1, expected: 2)) { try pass.embed([[1, 2], [1]]) }
    #expect(throws: ForwardError.unknownToken(40, window: 0, position: 1, vocabulary: 40)) {
      try pass.embed([[1, 40]])
    }
  }
}
