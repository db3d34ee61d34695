import GGUF
import Tensors
import TestSupport
import Testing
import Transformer

/// Models in which queries, keys and values, or the gates and products of experts, are one tensor, as converters write
/// them on request.
@Suite struct FusedTensorsTests {
  @Test(
    arguments: [
      ("llama", false), ("qwen2", false), ("qwen3moe", true), ("gpt-oss", false), ("qwen35", false),
      ("qwen35moe", true), ("qwen3next", true), ("gemma3", false), ("deepseek2-v3", true),
    ])
  func fusedTensorsComputeTheSame(name: String, fusesExperts: Bool) throws {
    let golden = try Golden(name)
    let fused = try FusedModel(golden.model, fusesExperts: fusesExperts)
    #expect(fused.tensors.count < golden.model.tensors.count)
    let names = try Decoder(fused).layerMatrices.map(\.name)
    #expect(names.contains { $0.hasSuffix("attn_qkv.weight") } || name.hasPrefix("deepseek2"))
    #expect(names.contains { $0.hasSuffix("ffn_gate_up_exps.weight") } == fusesExperts)
    #expect(Set(names).count == names.count)
    let length = golden.windows[0].count
    let logits = try [golden.model as any ModelSource, fused].map { model in
      try allLogits(ForwardPass(source: model).run(windows: golden.windows, scored: 0..<length))
    }
    #expect(relativeDifference(logits[1], logits[0].map(Double.init)) < 1e-5)
  }

  @Test func jointProjectionsOfEarlyConvertersAreRefused() throws {
    let model = try Golden("qwen3next").model
    let joint = RenamedTensor(model, "blk.0.attn_qkv.weight", to: "blk.0.ssm_in.weight")
    #expect { try Decoder(joint) } throws: { error in
      "\(error)".hasPrefix("tensor 'blk.0.ssm_in.weight' has queries, keys, values and gates of each head together")
    }
  }
}

/// A model whose queries, keys and values, and whose experts' gates and products, are joined.
private struct FusedModel: ModelSource {
  let model: GGUFFile
  let tensors: [TensorInfo]
  /// The tensors of which a fused one consists.
  private let parts: [String: [TensorInfo]]
  var name: String { model.name }
  var metadata: Metadata { model.metadata }

  private static let fusions = [
    ("attn_qkv.weight", ["attn_q.weight", "attn_k.weight", "attn_v.weight"]),
    ("attn_qkv.bias", ["attn_q.bias", "attn_k.bias", "attn_v.bias"]),
    ("ffn_gate_up_exps.weight", ["ffn_gate_exps.weight", "ffn_up_exps.weight"]),
  ]

  /// - Parameter fusesExperts: false for models whose experts stay apart.
  init(_ model: GGUFFile, fusesExperts: Bool) throws {
    self.model = model
    var tensors = model.tensors
    var parts: [String: [TensorInfo]] = [:]
    for layer in 0..<8 {
      for (fused, names) in Self.fusions where fusesExperts || !fused.hasPrefix("ffn") {
        let found = names.compactMap { model.tensor(named: "blk.\(layer).\($0)") }
        guard found.count == names.count else { continue }
        let name = "blk.\(layer).\(fused)"
        let isBias = fused.hasSuffix("bias")
        let axis = isBias ? 0 : 1
        var dimensions = found[0].shape.dimensions
        dimensions[axis] = found.reduce(0) { $0 + $1.shape.dimensions[axis] }
        tensors.removeAll(where: found.contains)
        tensors.append(TensorInfo(name: name, shape: try #require(Shape(dimensions)), type: found[0].type))
        parts[name] = found
      }
    }
    self.tensors = tensors
    self.parts = parts
  }

  func tensor(named name: String) -> TensorInfo? { tensors.first { $0.name == name } }

  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    try model.readBytes(of: tensor, rows: rows, into: &output)
  }

  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    guard let parts = parts[tensor.name] else { return try model.readRows(of: tensor, rows: rows, into: &output) }
    var values: [Float] = []
    if tensor.shape.dimensions.count == 1 {
      for part in parts { values += try read(part, row: 0) }
    } else {
      for row in rows {
        var (matrix, index) = row.quotientAndRemainder(dividingBy: tensor.shape.rowsPerMatrix)
        for part in parts {
          let count = part.shape.rowsPerMatrix
          if (0..<count).contains(index) { values += try read(part, row: matrix * count + index) }
          index -= count
        }
      }
    }
    for index in values.indices { output[index] = values[index] }
  }

  private func read(_ tensor: TensorInfo, row: Int) throws -> [Float] {
    var values = [Float](repeating: 0, count: tensor.shape.columns)
    var span = values.mutableSpan
    try model.readRows(of: tensor, rows: row..<row + 1, into: &span)
    return values
  }
}

/// A model with one tensor under another name.
private struct RenamedTensor: ModelSource {
  let model: GGUFFile
  let tensors: [TensorInfo]
  var name: String { model.name }
  var metadata: Metadata { model.metadata }

  init(_ model: GGUFFile, _ name: String, to other: String) {
    self.model = model
    tensors = model.tensors.map { $0.name == name ? TensorInfo(name: other, shape: $0.shape, type: $0.type) : $0 }
  }

  func tensor(named name: String) -> TensorInfo? { tensors.first { $0.name == name } }
  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {}
  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {}
}
