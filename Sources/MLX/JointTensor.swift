import GGUF
import Tensors

/// A matrix of MLX that a GGUF has as two.
enum JointTensor: Sendable {
  /// DeepSeek V2's `attn_kv_b`, [rank, heads x (nope + value)]: of each head first the rows of keys, which `attn_k_b` holds
  /// as columns, then those of values.
  case latent(k: TensorInfo, v: TensorInfo)
  /// Qwen 3 Next's `ssm_in`, [width, rows]: of each key head the rows of its query, key, values and gates.
  case heads(qkv: TensorInfo, gate: TensorInfo, keyHeads: Int)

  /// The joint matrix in place of a tensor, which is its first half; nil for other tensors.
  init?(_ tensor: TensorInfo, of model: any ModelSource, family: MLXNames.Family) {
    switch family {
    case .deepseek2:
      guard tensor.name.hasSuffix(".attn_k_b.weight"),
        let v = model.tensor(named: tensor.name.replacing("attn_k_b", with: "attn_v_b"))
      else { return nil }
      self = .latent(k: tensor, v: v)
    case .qwen3Next:
      guard tensor.name.hasSuffix(".attn_qkv.weight"),
        let gate = model.tensor(named: tensor.name.replacing("attn_qkv", with: "attn_gate")),
        let keys = model.metadata.optionalInt("qwen3next.ssm.group_count"), keys > 0,
        gate.shape.rows % keys == 0, tensor.shape.rows > gate.shape.rows,
        (tensor.shape.rows - gate.shape.rows) % (2 * keys) == 0
      else { return nil }
      self = .heads(qkv: tensor, gate: gate, keyHeads: keys)
    default: return nil
    }
  }

  /// Whether a tensor is the second half of a joint one.
  static func isSecond(_ name: String, family: MLXNames.Family) -> Bool { first(ofSecond: name, family: family) != nil }

  /// The first half of the joint matrix whose second half a tensor is; nil for other tensors.
  static func first(ofSecond name: String, family: MLXNames.Family) -> String? {
    switch family {
    case .deepseek2 where name.hasSuffix(".attn_v_b.weight"): name.replacing("attn_v_b", with: "attn_k_b")
    case .qwen3Next where name.hasSuffix(".attn_gate.weight"): name.replacing("attn_gate", with: "attn_qkv")
    default: nil
    }
  }

  var first: TensorInfo {
    switch self {
    case .latent(let k, _): k
    case .heads(let qkv, _, _): qkv
    }
  }

  /// The joint matrix; nil if its shape is impossible.
  var tensor: TensorInfo? {
    switch self {
    case .latent(let k, let v):
      Shape([k.shape.rowsPerMatrix, k.shape.matrices * (k.shape.columns + v.shape.rowsPerMatrix)]).map {
        TensorInfo(name: k.name.replacing("attn_k_b", with: "attn_kv_b"), shape: $0, type: k.type)
      }
    case .heads(let qkv, let gate, _):
      Shape([qkv.shape.columns, qkv.shape.rows + gate.shape.rows]).map {
        TensorInfo(name: qkv.name.replacing("attn_qkv", with: "ssm_in"), shape: $0, type: qkv.type)
      }
    }
  }

  func readRows(_ rows: Range<Int>, of base: any ModelSource, into output: inout MutableSpan<Float>) throws {
    switch self {
    case .latent(let k, let v): try Self.readLatent(k, v, rows: rows, of: base, into: &output)
    case .heads(let qkv, let gate, let heads):
      try Self.readHeads(qkv, gate, count: heads, rows: rows, of: base, into: &output)
    }
  }

  private static func readLatent(
    _ k: TensorInfo, _ v: TensorInfo, rows: Range<Int>, of base: any ModelSource,
    into output: inout MutableSpan<Float>
  ) throws {
    let (nope, rank, value) = (k.shape.columns, k.shape.rowsPerMatrix, v.shape.rowsPerMatrix)
    var row = rows.lowerBound
    while row < rows.upperBound {
      let (head, first) = row.quotientAndRemainder(dividingBy: nope + value)
      let start = (row - rows.lowerBound) * rank
      if first < nope {
        let count = min(nope - first, rows.upperBound - row)
        let matrix = try base.rows(head * rank..<(head + 1) * rank, of: k)
        for i in 0..<count {
          for column in 0..<rank { output[start + i * rank + column] = matrix[column * nope + first + i] }
        }
        row += count
      } else {
        let count = min(nope + value - first, rows.upperBound - row)
        let from = head * value + first - nope
        let part = try base.rows(from..<from + count, of: v)
        for i in part.indices { output[start + i] = part[i] }
        row += count
      }
    }
  }

  private static func readHeads(
    _ qkv: TensorInfo, _ gate: TensorInfo, count heads: Int, rows: Range<Int>, of base: any ModelSource,
    into output: inout MutableSpan<Float>
  ) throws {
    let values = gate.shape.rows / heads
    let size = (qkv.shape.rows - gate.shape.rows) / (2 * heads)
    let width = qkv.shape.columns
    var row = rows.lowerBound
    while row < rows.upperBound {
      let (head, first) = row.quotientAndRemainder(dividingBy: 2 * (size + values))
      // The part of the head's rows, its first row, and where these rows are in a matrix of all heads.
      let (tensor, start, count, target) =
        switch first {
        case ..<size: (qkv, 0, size, head * size)
        case ..<(2 * size): (qkv, size, size, (heads + head) * size)
        case ..<(2 * size + values): (qkv, 2 * size, values, 2 * heads * size + head * values)
        default: (gate, 2 * size + values, values, head * values)
        }
      let taken = min(start + count - first, rows.upperBound - row)
      let source = target + first - start
      let part = try base.rows(source..<source + taken, of: tensor)
      let offset = (row - rows.lowerBound) * width
      for i in part.indices { output[offset + i] = part[i] }
      row += taken
    }
  }
}
