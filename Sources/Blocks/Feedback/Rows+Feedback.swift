import Tensors

/// Encodes rows into blocks of `type`, feeding the rounding error of each weight into those not rounded yet.
///
/// A row's bytes depend on the row, the metric and the effort alone.
///
/// - Parameters:
///   - rows: whole rows of `columns` floats.
///   - metric: the Gram matrix of the inputs, of `columns` columns.
///   - importance: for types without feedback (``Tensors/GGMLType/takesFeedback``), which are encoded as
///     ``encodeRows(_:columns:importance:as:into:)`` does. Others take the diagonal of the metric.
///   - output: exactly the bytes of the rows in `type`.
/// - Throws: ``EncodeError``
public func encodeRows(
  _ rows: Span<Float>, columns: Int, metric: FeedbackMetric, importance: Span<Float>?, as type: GGMLType,
  effort: FeedbackEffort, into output: inout MutableRawSpan
) throws(EncodeError) {
  precondition(metric.columns == columns, "a metric of \(metric.columns) columns for rows of \(columns)")
  try encodeRows(rows, columns: columns, importance: importance, as: type, into: &output)
}

/// Encodes rows with error feedback on all threads; the bytes are those of
/// ``encodeRows(_:columns:metric:importance:as:effort:into:)``.
public func encodeRowsInParallel(
  _ rows: Span<Float>, columns: Int, metric: FeedbackMetric, importance: Span<Float>?, as type: GGMLType,
  effort: FeedbackEffort, into output: inout MutableRawSpan
) throws {
  precondition(metric.columns == columns, "a metric of \(metric.columns) columns for rows of \(columns)")
  try encodeRowsInParallel(rows, columns: columns, importance: importance, as: type, into: &output)
}
