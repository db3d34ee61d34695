import Checkpoint
import Files
import GGUF
import Tensors
import TestSupport
import Testing

@Suite struct DemoModelTests {
  let model: CheckpointDirectory

  init() throws { model = try CheckpointDirectory(path: Repository.demoModel) }

  @Test func hasLlamasKeysAndTensors() throws {
    #expect(try model.metadata.string("general.architecture") == "llama")
    #expect(try model.metadata.int("llama.attention.head_count_kv") == 2)
    #expect(try model.metadata.string("tokenizer.ggml.pre") == "llama-bpe")
    #expect(try model.metadata.strings("tokenizer.ggml.tokens").count == 2048)
    #expect(model.tensors.count == 39)
    let norm = try #require(model.tensor(named: "output_norm.weight"))
    #expect(norm.type == .f32 && norm.shape.dimensions == [256])
  }

  /// Queries and keys are stored as two halves per head, and are interleaved when read.
  @Test func queryRowsAreInterleaved() throws {
    let stored = try Rows(of: "model.layers.1.self_attn.q_proj.weight")
    let tensor = try #require(model.tensor(named: "blk.1.attn_q.weight"))
    var offered = [Float](repeating: 0, count: 256 * 256)
    var span = offered.mutableSpan
    try model.readRows(of: tensor, rows: 0..<256, into: &span)
    for head in 0..<4 {
      for pair in 0..<32 {
        for half in 0..<2 {
          let row = head * 64 + 2 * pair + half
          let source = head * 64 + half * 32 + pair
          #expect(Array(offered[row * 256..<row * 256 + 256]) == stored[source])
        }
      }
    }
  }

  /// Rows do not depend on the range in which they are read.
  @Test func rangesAgree() throws {
    for tensor in model.tensors.prefix(12) {
      let columns = tensor.shape.columns
      var all = [Float](repeating: 0, count: tensor.shape.count)
      var span = all.mutableSpan
      try model.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &span)
      for rows in [0..<1, tensor.shape.rows / 3..<tensor.shape.rows / 2 + 1, tensor.shape.rows - 1..<tensor.shape.rows]
      {
        var part = [Float](repeating: .nan, count: rows.count * columns)
        var partSpan = part.mutableSpan
        try model.readRows(of: tensor, rows: rows, into: &partSpan)
        #expect(part == Array(all[rows.lowerBound * columns..<rows.upperBound * columns]), "\(tensor.name) \(rows)")
      }
    }
  }
}

/// Rows of a tensor as the safetensors file holds them, read independently of the module under test.
private struct Rows {
  private let file: PositionedFile
  private let offset: Int

  init(of name: String) throws {
    file = try PositionedFile(path: Repository.demoModel + "/model.safetensors")
    let length = try file.bytes(in: 0..<8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = String(decoding: try file.bytes(in: 8..<8 + length), as: UTF8.self)
    let entry = header[try #require(header.firstRange(of: "\"\(name)\"")).upperBound...]
    let numbers = entry[try #require(entry.firstRange(of: "data_offsets\":[")).upperBound...]
    offset = 8 + length + (try #require(Int(numbers.prefix { $0.isNumber })))
  }

  subscript(row: Int) -> [Float] {
    let bytes = (try? file.bytes(in: offset + row * 512..<offset + row * 512 + 512)) ?? []
    return stride(from: 0, to: bytes.count, by: 2).map { index in
      Float(Float16(bitPattern: UInt16(bytes[index]) | UInt16(bytes[index + 1]) << 8))
    }
  }
}
