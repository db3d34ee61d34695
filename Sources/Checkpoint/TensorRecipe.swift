import GGUF
import Tensors

/// How a tensor of the model comes from what the checkpoint stores.
struct TensorRecipe: Sendable {
  enum Rows: Sendable {
    /// Rows as stored.
    case stored(StoredTensor)
    /// Rows of rotary queries or keys, whose two halves per head are interleaved: GGUF's `llama` rotates neighbours
    /// where `transformers` rotates halves.
    case interleaved(StoredTensor, heads: Int)
    /// Values that are computed, such as rope factors: one row.
    case computed([Float])
  }

  let info: TensorInfo
  let rows: Rows

  /// The stored row that row `row` of the model is.
  private func source(_ row: Int, heads: Int, rows: Int) -> Int {
    let headRows = rows / heads
    let (head, inside) = row.quotientAndRemainder(dividingBy: headRows)
    return head * headRows + inside % 2 * (headRows / 2) + inside / 2
  }

  func read(rows range: Range<Int>, into output: inout MutableRawSpan) throws {
    switch rows {
    case .computed(let values):
      output.withUnsafeMutableBytes { output in values.withUnsafeBytes { output.copyMemory(from: $0) } }
    case .stored(let tensor):
      try tensor.file.read(into: &output, at: tensor.offset + range.lowerBound * tensor.rowBytes)
    case .interleaved(let tensor, let heads):
      // Whole heads are read at once and their rows dealt out: a row a read would be slow.
      let size = tensor.rowBytes
      let headRows = tensor.rows / heads
      let first = range.lowerBound / headRows * headRows
      let last = (range.upperBound + headRows - 1) / headRows * headRows
      for head in stride(from: first, to: last, by: headRows) {
        let wanted = max(head, range.lowerBound)..<min(head + headRows, range.upperBound)
        let offset = tensor.offset + head * size
        let bytes = try tensor.file.bytes(in: offset..<offset + headRows * size)
        for row in wanted {
          let start = (source(row, heads: heads, rows: tensor.rows) - head) * size
          output.withUnsafeMutableBytes { output in
            bytes.withUnsafeBytes { bytes in
              UnsafeMutableRawBufferPointer(
                rebasing: output[(row - range.lowerBound) * size..<(row - range.lowerBound + 1) * size]
              )
              .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + size]))
            }
          }
        }
      }
    }
  }

  /// The type that the stored bytes are in; `info.type` may be wider (norms become F32).
  var storedType: GGMLType {
    switch rows {
    case .computed: .f32
    case .stored(let tensor), .interleaved(let tensor, _): tensor.element.type
    }
  }
}
