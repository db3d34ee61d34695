import Blocks
import GGUF
import Quantize
import Synchronization
import Tensors

/// A model with some tensors encoded in another type and decoded again. Probes and trials run it.
package struct MixedSource: ModelSource {
  private let base: any ModelSource
  /// Types by tensor name. Tensors without an entry, or with their source type, are read unchanged.
  private let types: [String: GGMLType]
  /// The fraction of the rounding error that remains, by tensor name; 1 without an entry. It models encoders with less error.
  private let remainders: [String: Float]
  private let importance: ImportanceOnce
  private let encoded: EncodedTensors?

  package init(
    base: any ModelSource, types: [String: GGMLType], remainders: [String: Float] = [:], importance: Importance?,
    encoded: EncodedTensors? = nil
  ) {
    self.base = base
    self.types = types
    self.remainders = remainders
    self.importance = ImportanceOnce(importance)
    self.encoded = encoded
  }

  package var name: String { base.name }
  package var metadata: Metadata { base.metadata }
  package var tensors: [TensorInfo] { base.tensors }
  package func tensor(named name: String) -> TensorInfo? { base.tensor(named: name) }
  package func path(of tensor: TensorInfo) -> String? { base.path(of: tensor) }

  package func readBytes(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableRawSpan) throws {
    precondition(types[tensor.name] == nil, "a rounded tensor has no stored bytes")
    try base.readBytes(of: tensor, rows: rows, into: &output)
  }

  package func readRows(of tensor: TensorInfo, rows: Range<Int>, into output: inout MutableSpan<Float>) throws {
    guard let type = types[tensor.name], type != tensor.type,
      let rowBytes = type.rowBytes(columns: tensor.shape.columns)
    else { return try base.readRows(of: tensor, rows: rows, into: &output) }
    let remainder = remainders[tensor.name] ?? 1
    let stored = encoded?[tensor.name, type]
    if let stored, remainder == 1 {
      let range = rows.lowerBound * rowBytes..<rows.upperBound * rowBytes
      return decodeRows(stored.span.bytes.extracting(range), as: type, into: &output)
    }
    try base.readRows(of: tensor, rows: rows, into: &output)
    let columns = tensor.shape.columns
    let weights = importance.columns(of: tensor)
    // Ranges within a matrix, small enough to stay in a core's cache from encoding to decoding.
    let step = max(1, (1 << 16) / columns)
    var bytes = [UInt8](repeating: 0, count: stored == nil ? min(step, rows.count) * rowBytes : 0)
    var decoded = [Float](repeating: 0, count: remainder == 1 ? 0 : min(step, rows.count) * columns)
    var row = rows.lowerBound
    while row < rows.upperBound {
      let matrix = row / tensor.shape.rowsPerMatrix
      let end = min(rows.upperBound, row + step, (matrix + 1) * tensor.shape.rowsPerMatrix)
      let first = (row - rows.lowerBound) * columns
      var slice = output._mutatingExtracting(first..<first + (end - row) * columns)
      if stored == nil {
        var span = bytes.mutableSpan
        var whole = span.mutableBytes
        var raw = whole._mutatingExtracting(0..<(end - row) * rowBytes)
        try encodeRows(slice.span, columns: columns, matrix: matrix, importance: weights, as: type, into: &raw)
      }
      func decode(into target: inout MutableSpan<Float>) {
        if let stored {
          decodeRows(stored.span.bytes.extracting(row * rowBytes..<end * rowBytes), as: type, into: &target)
        } else {
          decodeRows(bytes.span.bytes.extracting(0..<(end - row) * rowBytes), as: type, into: &target)
        }
      }
      if remainder == 1 {
        decode(into: &slice)
      } else {
        var span = decoded.mutableSpan
        var part = span._mutatingExtracting(0..<(end - row) * columns)
        decode(into: &part)
        for index in slice.indices { slice[index] += remainder * (decoded[index] - slice[index]) }
      }
      row = end
    }
  }
}

/// A cache of tensors' importance.
private final class ImportanceOnce: Sendable {
  private let importance: Importance?
  private let columns = Mutex<[String: ColumnImportance?]>([:])

  init(_ importance: Importance?) { self.importance = importance }

  func columns(of tensor: TensorInfo) -> ColumnImportance? {
    guard let importance else { return nil }
    return columns.withLock { columns in
      if let found = columns[tensor.name] { return found }
      let made = ColumnImportance(of: tensor, importance)
      columns[tensor.name] = .some(made)
      return made
    }
  }
}

/// A cache of encoded tensors, most of which several mixes share. Tensors beyond its limit of bytes are encoded again
/// whenever they are read.
package final class EncodedTensors: Sendable {
  private struct Key: Hashable {
    let tensor: String
    let type: GGMLType
  }
  private struct State {
    var bytes: [Key: [UInt8]] = [:]
    var total = 0
    var limit = 0
  }
  private let state = Mutex(State())
  /// Bytes of floats that are encoded at a time.
  private static let readBytes = 64 << 20

  package init() {}

  /// Sets the limit of bytes, initially 0.
  package func allow(_ bytes: Int) {
    state.withLock { state in
      state.limit = bytes
      if state.total > bytes { (state.bytes, state.total) = ([:], 0) }
    }
  }

  subscript(tensor: String, type: GGMLType) -> [UInt8]? {
    state.withLock { $0.bytes[Key(tensor: tensor, type: type)] }
  }

  /// Encodes a tensor into the cache, unless it is there already or does not fit.
  package func prepare(_ tensor: TensorInfo, as type: GGMLType, of source: any ModelSource, _ importance: Importance?)
    throws
  {
    let key = Key(tensor: tensor.name, type: type)
    guard type != tensor.type, let size = tensor.shape.bytes(as: type),
      let rowBytes = type.rowBytes(columns: tensor.shape.columns),
      state.withLock({ $0.bytes[key] == nil && $0.total + size <= $0.limit })
    else { return }
    let weights = ColumnImportance(of: tensor, importance)
    let columns = tensor.shape.columns
    let perMatrix = tensor.shape.rowsPerMatrix
    let step = max(1, Self.readBytes / max(1, columns * 4))
    var bytes: [UInt8] = []
    bytes.reserveCapacity(size)
    for matrix in 0..<tensor.shape.matrices {
      for start in stride(from: 0, to: perMatrix, by: step) {
        let rows = matrix * perMatrix + start..<matrix * perMatrix + min(perMatrix, start + step)
        var part = [UInt8](repeating: 0, count: rows.count * rowBytes)
        _ = try encodeInParallel(
          try source.rows(rows, of: tensor), columns: columns, weights?.weights(ofMatrix: matrix), as: type, into: &part
        )
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
