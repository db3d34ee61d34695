import Blocks
import GGUF
import Quantize
import Synchronization
import Tensors

/// A model in which some tensors went through a round trip in another type: what probes and trials run.
struct MixedSource: ModelSource {
  let base: any ModelSource
  /// Types by tensor name; tensors that are not in it, or keep their type, are read as they are.
  let types: [String: GGMLType]
  let importance: Importance?
  var encoded: EncodedTensors?

  var name: String { base.name }
  var metadata: Metadata { base.metadata }
  var tensors: [TensorInfo] { base.tensors }
  func tensor(named name: String) -> TensorInfo? { base.tensor(named: name) }

  func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    precondition(types[tensor.name] == nil, "a rounded tensor has no stored bytes")
    try base.readBytes(of: tensor, rows: rows, into: &output)
  }

  func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    guard let type = types[tensor.name], type != tensor.type,
      let rowBytes = type.rowBytes(columns: tensor.shape.columns)
    else { return try base.readRows(of: tensor, rows: rows, into: &output) }
    if let bytes = encoded?[tensor.name, type] {
      let own = bytes.span.bytes.extracting(rows.lowerBound * rowBytes..<rows.upperBound * rowBytes)
      return decodeRows(own, as: type, into: &output)
    }
    try base.readRows(of: tensor, rows: rows, into: &output)
    let columns = tensor.shape.columns
    let weights = importance?(tensor)
    var bytes = [UInt8](repeating: 0, count: rowBytes)
    for (index, row) in rows.enumerated() {
      var slice = output._mutatingExtracting(index * columns..<(index + 1) * columns)
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      if let weights {
        let first = row / tensor.shape.rowsPerMatrix * columns
        try encodeRows(
          slice.span, columns: columns, importance: weights.span.extracting(first..<first + columns), as: type,
          into: &raw)
      } else {
        try encodeRows(slice.span, columns: columns, importance: nil, as: type, into: &raw)
      }
      decodeRows(bytes.span.bytes, as: type, into: &slice)
    }
  }
}

/// Tensors that were encoded once and are wanted again: trials of mixes share most of them. Holds as many as a limit of
/// bytes allows; the rest is encoded anew whenever it is read.
final class EncodedTensors: Sendable {
  private struct Key: Hashable {
    let tensor: String
    let type: GGMLType
  }
  private struct State {
    var bytes: [Key: [UInt8]] = [:]
    var total = 0
  }
  private let state = Mutex(State())
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  subscript(tensor: String, type: GGMLType) -> [UInt8]? {
    state.withLock { $0.bytes[Key(tensor: tensor, type: type)] }
  }

  /// Encodes a tensor, unless it is there already or too large.
  func prepare(_ tensor: TensorInfo, as type: GGMLType, of source: any ModelSource, _ importance: Importance?) throws {
    let key = Key(tensor: tensor.name, type: type)
    guard type != tensor.type, let size = tensor.shape.bytes(as: type),
      let rowBytes = type.rowBytes(columns: tensor.shape.columns),
      state.withLock({ $0.bytes[key] == nil && $0.total + size <= limit })
    else { return }
    let weights = importance?(tensor)
    let columns = tensor.shape.columns
    let perMatrix = tensor.shape.rowsPerMatrix
    let step = max(1, (64 << 20) / max(1, columns * 4))
    var bytes: [UInt8] = []
    bytes.reserveCapacity(size)
    for matrix in 0..<tensor.shape.matrices {
      for start in stride(from: 0, to: perMatrix, by: step) {
        let rows = matrix * perMatrix + start..<matrix * perMatrix + min(perMatrix, start + step)
        var part = [UInt8](repeating: 0, count: rows.count * rowBytes)
        _ = try encodeInParallel(
          try source.rows(rows, of: tensor), columns: columns,
          weights.map { $0[matrix * columns..<(matrix + 1) * columns] }, as: type, into: &part)
        bytes += part
      }
    }
    let whole = bytes
    state.withLock { state in
      state.total += whole.count
      state.bytes[key] = whole
    }
  }
}
