import Blocks
import Imatrix
import Quantize
import Tensors

/// The speed of the encoders on this machine, timed on normal weights.
enum EncodingSpeed {
  /// Seconds for a weight on all threads, in rows of one panel of error feedback.
  ///
  /// - Parameter effort: nil without feedback.
  static func seconds(of type: GGMLType, effort: FeedbackEffort? = nil) throws -> Double {
    var random = SplitMix(seed: 1)
    let columns = FeedbackMetric.panelColumns
    guard let rowBytes = type.rowBytes(columns: columns) else { return 0 }
    // A thread encodes 32 rows at a time with feedback. Without, that is too fast to be timed well.
    let rows = (effort == nil ? 64 : 32) * max(1, Threads.count)
    let weights = (0..<rows * columns).map { _ in Float(random.normal()) }
    let importance = [Float](repeating: 1, count: columns)
    let metric = try effort.map { _ in try Self.metric(of: weights, columns: columns, for: type) }
    func encode(_ rows: Int) throws {
      let part = Array(weights[..<(rows * columns)])
      var bytes = [UInt8](repeating: 0, count: rows * rowBytes)
      if let effort, let metric {
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try encodeRowsInParallel(
          part.span, columns: columns, metric: metric, importance: importance.span, as: type, effort: effort, into: &raw
        )
      } else {
        _ = try encodeInParallel(part, columns: columns, importance[...], as: type, into: &bytes)
      }
    }
    // The first call makes the tables of codebooks and of the metric.
    try encode(1)
    let start = ContinuousClock.now
    try encode(rows)
    return Double((ContinuousClock.now - start) / .seconds(1)) / Double(weights.count)
  }

  private static func metric(of inputs: [Float], columns: Int, for type: GGMLType) throws -> FeedbackMetric {
    var gram = GramMatrix(columns: columns)
    try gram.add(inputs.span)
    try gram.finish()
    return try FeedbackMetric(
      gram: gram.values.span, columns: columns, groupColumns: type.feedbackGroupColumns)
  }
}
