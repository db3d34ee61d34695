import Blocks
import GGUF
import Tensors

/// Mean squared activations by tensor name, [matrices, columns] row after row; nil where nothing is known.
public typealias Importance = @Sendable (TensorInfo) -> [Float]?

/// What the rewriting of a model into a GGUF is to make.
public struct RewritePlan: Sendable {
  public let source: any ModelSource
  /// The type of every tensor, in the source's order.
  public let types: [GGMLType]
  public let layout: GGUFLayout
  /// Bytes of decoded rows in work at once.
  public var blockBytes = 64 << 20

  /// - Parameter metadata: all keys of the file to write.
  public init(source: any ModelSource, types: [GGMLType], metadata: Metadata) {
    precondition(types.count == source.tensors.count, "\(types.count) types for \(source.tensors.count) tensors")
    self.source = source
    self.types = types
    layout = GGUFLayout(
      metadata: metadata,
      tensors: zip(source.tensors, types).map { TensorInfo(name: $0.name, shape: $0.shape, type: $1) })
  }

  /// The whole file, to the byte.
  public var totalBytes: Int { layout.totalBytes }
}

/// What rewriting reports when it is done.
public struct RewriteReport: Sendable, Equatable {
  public var bytes = 0
  /// Tensors whose importance had entries that were zero or not finite, with their number; they counted as the mean.
  public var replacedImportance: [String: Int] = [:]
  /// Quantized tensors without any importance, where an importance matrix was given.
  public var withoutImportance: [String] = []
}

/// Writes a model as a GGUF, tensor by tensor and block of rows by block of rows: rows are read, decoded, encoded on
/// all threads and written at their final place. Rows that keep their type are copied.
public struct Rewriter {
  private let plan: RewritePlan
  private let importance: Importance?

  public init(_ plan: RewritePlan, importance: Importance? = nil) {
    self.plan = plan
    self.importance = importance
  }

  /// - Parameter progress: called after every block with the tensor's name and the bytes written so far; may throw to
  ///   stop, which leaves nothing behind.
  /// - Throws: ``QuantizeError``, `FileError`, and what reading the source throws.
  public func write(
    to path: String, overwrite: Bool, progress: (_ tensor: String, _ bytes: Int) throws -> Void = { _, _ in }
  ) throws -> RewriteReport {
    let writer = try GGUFWriter(path: path, layout: plan.layout, overwrite: overwrite)
    var report = RewriteReport()
    var written = plan.layout.header.count
    for (index, tensor) in plan.source.tensors.enumerated() {
      let type = plan.types[index]
      guard let rowBytes = type.rowBytes(columns: tensor.shape.columns) else {
        throw QuantizeError.notEncodable(tensor: tensor.name, type: type)
      }
      if tensor.shape.rows == 1 { try checkFinite(tensor) }
      let weights = type.isQuantized && type != tensor.type ? try self.weights(of: tensor, &report) : nil
      for rows in blocks(of: tensor) {
        if type == tensor.type {
          var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
          var span = bytes.mutableSpan
          var raw = span.mutableBytes
          try plan.source.readBytes(of: tensor, rows: rows, into: &raw)
          try writer.write(bytes.span.bytes, tensor: index, row: rows.lowerBound)
        } else {
          let bytes = try encode(rows, of: tensor, as: type, rowBytes: rowBytes, weights, &report)
          try writer.write(bytes.span.bytes, tensor: index, row: rows.lowerBound)
        }
        written += rows.count * rowBytes
        try progress(tensor.name, written)
      }
    }
    try writer.commit()
    report.bytes = plan.totalBytes
    return report
  }

  /// Norms and biases are copied unseen, and one NaN in them makes every token NaN: they are small enough to look at.
  private func checkFinite(_ tensor: TensorInfo) throws {
    guard tensor.type == .f32 || tensor.type == .f16 || tensor.type == .bf16 else { return }
    let values = try plan.source.rows(0..<1, of: tensor)
    if let column = values.firstIndex(where: { !$0.isFinite }) {
      throw QuantizeError.nonFiniteWeight(tensor: tensor.name, row: 0, column: column)
    }
  }

  /// Ranges of rows that fit a block and never cross from one matrix of a stack to the next: importance differs there.
  private func blocks(of tensor: TensorInfo) -> [Range<Int>] {
    let perMatrix = tensor.shape.rowsPerMatrix
    let most = max(1, plan.blockBytes / max(1, tensor.shape.columns * 4))
    return (0..<tensor.shape.matrices).flatMap { matrix in
      stride(from: 0, to: perMatrix, by: most).map { row in
        matrix * perMatrix + row..<matrix * perMatrix + min(perMatrix, row + most)
      }
    }
  }

  private func weights(of tensor: TensorInfo, _ report: inout RewriteReport) throws -> [Float]? {
    guard let importance else { return nil }
    guard let weights = importance(tensor) else {
      report.withoutImportance.append(tensor.name)
      return nil
    }
    let expected = tensor.shape.columns * tensor.shape.matrices
    guard weights.count == expected else {
      throw QuantizeError.importanceOfOtherSize(tensor: tensor.name, count: weights.count, expected: expected)
    }
    return weights
  }

  private func encode(
    _ rows: Range<Int>, of tensor: TensorInfo, as type: GGMLType, rowBytes: Int, _ weights: [Float]?,
    _ report: inout RewriteReport
  ) throws -> [UInt8] {
    let columns = tensor.shape.columns
    let floats = try plan.source.rows(rows, of: tensor)
    var bytes = [UInt8](repeating: 0, count: rows.count * rowBytes)
    do {
      let matrix = rows.lowerBound / tensor.shape.rowsPerMatrix
      let replaced = try encodeInParallel(
        floats, columns: columns, weights.map { $0[matrix * columns..<(matrix + 1) * columns] }, as: type, into: &bytes)
      // Counted once for each matrix: all its blocks share the weights.
      if replaced > 0, rows.lowerBound % tensor.shape.rowsPerMatrix == 0 {
        report.replacedImportance[tensor.name, default: 0] += replaced
      }
    } catch EncodeError.nonFiniteWeight(let row, let column) {
      throw QuantizeError.nonFiniteWeight(tensor: tensor.name, row: rows.lowerBound + row, column: column)
    } catch EncodeError.needsImportance {
      throw QuantizeError.needsImportance(tensor: tensor.name, type: type)
    } catch is EncodeError {
      throw QuantizeError.notEncodable(tensor: tensor.name, type: type)
    }
    return bytes
  }
}

extension ModelSource {
  /// Rows of a tensor as floats, decoded on all threads.
  func rows(_ rows: Range<Int>, of tensor: TensorInfo) throws -> [Float] {
    let columns = tensor.shape.columns
    var floats = [Float](repeating: 0, count: rows.count * columns)
    var span = floats.mutableSpan
    try parallelRows(of: &span, rowLength: columns, grain: max(1, (1 << 20) / columns)) { range, slice in
      try readRows(
        of: tensor, rows: rows.lowerBound + range.lowerBound..<rows.lowerBound + range.upperBound, into: &slice)
    }
    return floats
  }
}

/// Encodes rows on all threads; `weights` are one matrix's.
func encodeInParallel(
  _ floats: [Float], columns: Int, _ weights: ArraySlice<Float>?, as type: GGMLType, into bytes: inout [UInt8]
) throws -> Int {
  var span = bytes.mutableSpan
  var raw = span.mutableBytes
  if let weights {
    let own = Array(weights)
    return try encodeRowsInParallel(floats.span, columns: columns, importance: own.span, as: type, into: &raw)
  }
  return try encodeRowsInParallel(floats.span, columns: columns, importance: nil, as: type, into: &raw)
}
