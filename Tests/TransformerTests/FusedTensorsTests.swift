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

  /// Files of early converters have the rows of a checkpoint, and MLX has them too.
  @Test func jointProjectionsOfDeltaNetsComputeTheSame() throws {
    let golden = try Golden("qwen3next")
    let joint = try JointHeads(golden.model)
    #expect(joint.tensors.contains { $0.name.hasSuffix("ssm_in.weight") })
    #expect(!joint.tensors.contains { $0.name.hasSuffix("attn_gate.weight") })
    let length = golden.windows[0].count
    let logits = try [golden.model as any ModelSource, joint].map { model in
      try allLogits(ForwardPass(source: model).run(windows: golden.windows, scored: 0..<length))
    }
    #expect(relativeDifference(logits[1], logits[0].map(Double.init)) < 1e-5)
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

/// Qwen 3 Next whose queries, keys, values and gates are one matrix, for one key head after the other.
private struct JointHeads: ModelSource {
  let model: GGUFFile
  let tensors: [TensorInfo]
  private let keyHeads: Int
  var name: String { model.name }
  var metadata: Metadata { model.metadata }

  init(_ model: GGUFFile) throws {
    self.model = model
    keyHeads = try #require(model.metadata.optionalInt("qwen3next.ssm.group_count"))
    tensors = try model.tensors.compactMap { tensor in
      guard !tensor.name.hasSuffix("attn_gate.weight") else { return nil }
      guard let gate = Self.gate(of: tensor, model) else { return tensor }
      let shape = try #require(Shape([tensor.shape.columns, tensor.shape.rows + gate.shape.rows]))
      return TensorInfo(name: tensor.name.replacing("attn_qkv", with: "ssm_in"), shape: shape, type: tensor.type)
    }
  }

  private static func gate(of qkv: TensorInfo, _ model: GGUFFile) -> TensorInfo? {
    guard qkv.name.hasSuffix("attn_qkv.weight") else { return nil }
    return model.tensor(named: qkv.name.replacing("attn_qkv", with: "attn_gate"))
  }

  func tensor(named name: String) -> TensorInfo? { tensors.first { $0.name == name } }

  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    try model.readBytes(of: tensor, rows: rows, into: &output)
  }

  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    guard let qkv = model.tensor(named: tensor.name.replacing("ssm_in", with: "attn_qkv")),
      let gate = Self.gate(of: qkv, model)
    else { return try model.readRows(of: tensor, rows: rows, into: &output) }
    let all = try values(of: qkv) + values(of: gate)
    let (inner, width) = (gate.shape.rows, tensor.shape.columns)
    let (size, values) = ((qkv.shape.rows - inner) / (2 * keyHeads), inner / keyHeads)
    let starts = [(0, size), (keyHeads * size, size), (2 * keyHeads * size, values), (qkv.shape.rows, values)]
    let order = (0..<keyHeads).flatMap { head in
      starts.flatMap { start, count in start + head * count..<start + (head + 1) * count }
    }
    for (index, row) in rows.enumerated() {
      for column in 0..<width { output[index * width + column] = all[order[row] * width + column] }
    }
  }

  private func values(of tensor: TensorInfo) throws -> [Float] {
    var values = [Float](repeating: 0, count: tensor.shape.count)
    var span = values.mutableSpan
    try model.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &span)
    return values
  }
}
