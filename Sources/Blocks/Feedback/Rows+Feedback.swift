import Tensors

/// Encodes rows into blocks of `type`, feeding the rounding error of each weight into those not rounded yet.
///
/// A row's bytes depend on the row, the metric and the effort alone.
///
/// - Parameters:
///   - rows: whole rows of `columns` floats.
///   - metric: the Gram matrix of the inputs, of `columns` columns.
///   - importance: for types without feedback (``Tensors/GGMLType/takesFeedback``), which are encoded as
///     ``encodeRows(_:columns:importance:as:into:)`` does. Others take the metric alone.
///   - output: exactly the bytes of the rows in `type`.
/// - Throws: ``EncodeError``
public func encodeRows(
  _ rows: Span<Float>, columns: Int, metric: FeedbackMetric, importance: Span<Float>?, as type: GGMLType,
  effort: FeedbackEffort, into output: inout MutableRawSpan
) throws(EncodeError) {
  guard type.takesFeedback else {
    try encodeRows(rows, columns: columns, importance: importance, as: type, into: &output)
    return
  }
  let encoder = try FeedbackRowEncoder(metric, columns: columns, as: type, effort: effort)
  try encoder.encode(rows, into: &output)
}

/// Encodes rows with error feedback on all threads; the bytes are those of
/// ``encodeRows(_:columns:metric:importance:as:effort:into:)``.
public func encodeRowsInParallel(
  _ rows: Span<Float>, columns: Int, metric: FeedbackMetric, importance: Span<Float>?, as type: GGMLType,
  effort: FeedbackEffort, into output: inout MutableRawSpan
) throws {
  guard type.takesFeedback else {
    try encodeRowsInParallel(rows, columns: columns, importance: importance, as: type, into: &output)
    return
  }
  let encoder = try FeedbackRowEncoder(metric, columns: columns, as: type, effort: effort)
  precondition(
    rows.count % columns == 0 && output.byteCount == rows.count / columns * encoder.rowBytes,
    "\(output.byteCount) bytes for \(rows.count) weights in rows of \(columns)")
  let source = SharedFloats(rows)
  try parallelRows(of: &output, rowBytes: encoder.rowBytes, grain: FeedbackRowEncoder.grain) { range, slice in
    do {
      let rows = Span(_unsafeElements: source.buffer[range.lowerBound * columns..<range.upperBound * columns])
      try encoder.encode(rows, into: &slice)
    } catch EncodeError.nonFiniteWeight(let row, let column) {
      throw EncodeError.nonFiniteWeight(row: row + range.lowerBound, column: column)
    }
  }
}

/// A format with its tables, for all rows of a matrix.
private struct FeedbackRowEncoder: Sendable {
  /// Rows that a thread encodes at a time.
  static let grain = FeedbackBatch<ScalarFeedback>.capacity
  /// Sweeps of descent.
  private static let sweeps = 3

  private enum Format: Sendable {
    case scalar(ScalarFeedback)
    case codebook(CodebookFormat)
  }

  let metric: FeedbackMetric
  let rowBytes: Int
  private let type: GGMLType
  private let format: Format
  private let effort: FeedbackEffort

  init(_ metric: FeedbackMetric, columns: Int, as type: GGMLType, effort: FeedbackEffort) throws(EncodeError) {
    precondition(metric.columns == columns, "a metric of \(metric.columns) columns for rows of \(columns)")
    guard let rowBytes = type.rowBytes(columns: columns) else { throw .raggedRow(columns: columns, type: type) }
    if let shape = ScalarShape(type) {
      format = .scalar(ScalarFeedback(shape, metric: metric, effort: effort))
    } else if let shape = CodebookShape.of(type) {
      format = .codebook(CodebookFormat(type, shape, metric: metric, effort: effort))
    } else {
      throw .notEncodable(type)
    }
    (self.metric, self.rowBytes, self.type, self.effort) = (metric, rowBytes, type, effort)
  }

  func encode(_ rows: Span<Float>, into output: inout MutableRawSpan) throws(EncodeError) {
    let columns = metric.columns
    precondition(rows.count % columns == 0, "\(rows.count) weights in rows of \(columns)")
    let count = rows.count / columns
    precondition(output.byteCount == count * rowBytes, "\(output.byteCount) bytes for \(type)")
    if let index = firstNonFinite(rows) {
      throw .nonFiniteWeight(row: index / columns, column: index % columns)
    }
    guard count > 0 else { return }
    rows.withUnsafeBufferPointer { rows in
      output.withUnsafeMutableBytes { output in
        let bytes = output.baseAddress!.assumingMemoryBound(to: UInt8.self)
        switch format {
        case .scalar(let format): encode(rows.baseAddress!, count: count, format, into: bytes)
        case .codebook(let format): encode(rows.baseAddress!, count: count, format, into: bytes)
        }
      }
    }
  }

  private func encode<F: FeedbackFormat>(
    _ rows: Floats, count: Int, _ format: F, into bytes: UnsafeMutablePointer<UInt8>
  ) {
    let capacity = FeedbackBatch<F>.capacity
    let batch = FeedbackBatch(format, metric: metric, sweeps: effort >= .descent ? Self.sweeps : 0)
    for row in stride(from: 0, to: count, by: capacity) {
      batch.encode(
        rows + row * metric.columns, count: min(capacity, count - row), into: bytes + row * rowBytes,
        rowBytes: rowBytes)
    }
  }
}
