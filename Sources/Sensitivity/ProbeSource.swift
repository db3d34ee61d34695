import Blocks
import GGUF
import Tensors

/// A model in which one tensor went through a round trip in another type: what a probe runs.
struct ProbeSource: ModelSource {
  let base: any ModelSource
  let probed: TensorInfo
  let type: GGMLType
  /// [matrices, columns], or nil for equal weights.
  let importance: [Float]?

  var name: String { base.name }
  var metadata: Metadata { base.metadata }
  var tensors: [TensorInfo] { base.tensors }
  func tensor(named name: String) -> TensorInfo? { base.tensor(named: name) }

  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    precondition(tensor.name != probed.name, "a probed tensor has no stored bytes")
    try base.readBytes(of: tensor, rows: rows, into: &output)
  }

  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    try base.readRows(of: tensor, rows: rows, into: &output)
    guard tensor.name == probed.name, let rowBytes = type.rowBytes(columns: tensor.shape.columns) else { return }
    let columns = tensor.shape.columns
    var bytes = [UInt8](repeating: 0, count: rowBytes)
    for (index, row) in rows.enumerated() {
      var slice = output._mutatingExtracting(index * columns..<(index + 1) * columns)
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      if let importance {
        let first = row / tensor.shape.rowsPerMatrix * columns
        try encodeRows(
          slice.span, columns: columns, importance: importance.span.extracting(first..<first + columns), as: type,
          into: &raw)
      } else {
        try encodeRows(slice.span, columns: columns, importance: nil, as: type, into: &raw)
      }
      decodeRows(bytes.span.bytes, as: type, into: &slice)
    }
  }
}
