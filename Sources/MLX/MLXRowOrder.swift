import GGUF
import Tensors

/// The order of a tensor's rows, or of its columns, in MLX.
struct MLXRowOrder: Sendable, Equatable {
  private enum Kind: Equatable {
    /// Rotary queries and keys: GGUF's `llama` and its relatives have the halves of a head interleaved, MLX has them one
    /// after the other, as the `transformers` package.
    case halves(headRows: Int)
    /// Value heads of a delta net behind `first` other rows: in a GGUF, head i uses key head i mod `keyHeads`; MLX has
    /// those of a key head together.
    case valueHeads(first: Int, size: Int, keyHeads: Int, group: Int)
    /// Gate and up of every expert in turn: MLX has two tensors, which follow each other in this order.
    case gateAndUp(rows: Int, matrices: Int)
  }

  private let kind: Kind

  /// The architectures of GGUF whose queries and keys have the halves of a head interleaved.
  private static let interleaved: Set<String> = ["llama", "mistral3", "smollm3", "granite"]

  /// nil for tensors whose rows have the same order in both.
  init?(_ tensor: TensorInfo, of model: any ModelSource) {
    let title = TensorName(tensor.name).title.replacing(".bias", with: "")
    let rows = tensor.shape.dimensions.count == 1 ? tensor.shape.columns : tensor.shape.rows
    switch title {
    case "attn_q", "attn_k":
      guard let name = model.metadata.optionalString("general.architecture"), Self.interleaved.contains(name),
        let heads = model.metadata.optionalInt("\(name).attention.head_count"),
        let keyHeads = model.metadata.optionalInt("\(name).attention.head_count_kv") ?? Optional(heads)
      else { return nil }
      let count = title == "attn_q" ? heads : keyHeads
      guard count > 0, rows % count == 0, rows / count % 2 == 0 else { return nil }
      kind = .halves(headRows: rows / count)
    case "ffn_gate_up_exps":
      kind = .gateAndUp(rows: tensor.shape.rowsPerMatrix, matrices: tensor.shape.matrices)
    case "attn_qkv", "ssm_conv1d":
      guard let heads = ValueHeads(model) else { return nil }
      kind = .valueHeads(first: 2 * heads.keys * heads.size, size: heads.size, keyHeads: heads.keys, group: heads.group)
    case "attn_gate":
      guard let heads = ValueHeads(model) else { return nil }
      kind = .valueHeads(first: 0, size: heads.size, keyHeads: heads.keys, group: heads.group)
    case "ssm_alpha", "ssm_beta", "ssm_a", "ssm_dt":
      guard let heads = ValueHeads(model) else { return nil }
      kind = .valueHeads(first: 0, size: 1, keyHeads: heads.keys, group: heads.group)
    default: return nil
    }
  }

  /// MLX's row of one of GGUF's.
  func target(_ row: Int) -> Int {
    switch kind {
    case .halves(let headRows):
      let (head, index) = row.quotientAndRemainder(dividingBy: headRows)
      return head * headRows + index % 2 * (headRows / 2) + index / 2
    case .valueHeads(let first, let size, let keyHeads, let group):
      guard row >= first else { return row }
      let (head, index) = (row - first).quotientAndRemainder(dividingBy: size)
      return first + (head % keyHeads * group + head / keyHeads) * size + index
    case .gateAndUp(let rows, let matrices):
      let (matrix, index) = row.quotientAndRemainder(dividingBy: rows)
      let half = rows / 2
      return index < half ? matrix * half + index : (matrices + matrix) * half + index - half
    }
  }

  /// The rows of each of MLX's tensors, where one of a GGUF is several.
  var rowsOfPart: Int? { if case .gateAndUp(let rows, let matrices) = kind { rows / 2 * matrices } else { nil } }
}

/// The value heads of a delta net whose order differs.
private struct ValueHeads {
  let keys: Int
  /// Value heads of a key head.
  let group: Int
  let size: Int

  init?(_ model: any ModelSource) {
    guard let name = model.metadata.optionalString("general.architecture"), name.hasPrefix("qwen35"),
      let keys = model.metadata.optionalInt("\(name).ssm.group_count"), keys > 0,
      let values = model.metadata.optionalInt("\(name).ssm.time_step_rank"), values > keys, values % keys == 0,
      let width = model.metadata.optionalInt("\(name).ssm.inner_size"), width % values == 0
    else { return nil }
    (self.keys, group, size) = (keys, values / keys, width / values)
  }
}

/// The order of the columns of a delta net's output matrix, whose inputs are the value heads: whole heads change places.
struct MLXColumnOrder: Sendable, Equatable {
  /// Columns of a head.
  let size: Int
  /// MLX's head of each of GGUF's.
  private let targets: [Int]

  /// nil for tensors whose columns have the same order in both.
  init?(_ tensor: TensorInfo, of model: any ModelSource) {
    guard TensorName(tensor.name).title == "ssm_out", let heads = ValueHeads(model),
      tensor.shape.columns == heads.keys * heads.group * heads.size
    else { return nil }
    size = heads.size
    targets = (0..<heads.keys * heads.group).map { $0 % heads.keys * heads.group + $0 / heads.keys }
  }

  /// Whether groups of a type do not cross heads.
  func admits(_ type: GGMLType) -> Bool { size % type.blockLength == 0 }

  func toMLX(_ rows: [UInt8], rowBytes: Int) -> [UInt8] { moved(rows, rowBytes) { ($0, targets[$0]) } }

  func fromMLX(_ rows: [UInt8], rowBytes: Int) -> [UInt8] { moved(rows, rowBytes) { (targets[$0], $0) } }

  private func moved(_ rows: [UInt8], _ rowBytes: Int, _ move: (Int) -> (from: Int, to: Int)) -> [UInt8] {
    var result = rows
    let head = rowBytes / targets.count
    for row in stride(from: 0, to: rows.count, by: rowBytes) {
      for index in targets.indices {
        let (from, to) = move(index)
        result.replaceSubrange(
          row + to * head..<row + (to + 1) * head, with: rows[row + from * head..<row + (from + 1) * head])
      }
    }
    return result
  }
}
