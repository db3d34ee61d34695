import Tensors

extension GGMLType {
  /// Bytes of the tables that all threads share while rows are encoded with error feedback: those of the metric's columns. 0
  /// for types without feedback.
  public func feedbackTableBytes(columns: Int, effort: FeedbackEffort) -> Int {
    if let shape = ScalarShape(self) {
      return 4 * columns * (effort >= .descent ? 3 * shape.length + 1 : shape.length)
    }
    guard let shape = CodebookShape.of(self) else { return 0 }
    return (effort >= .descent ? 2 : 1) * CodebookMetric.bytes(shape, columns: columns)
  }

  /// Bytes of a thread while rows are encoded with error feedback. 0 for types without feedback.
  public func feedbackThreadBytes(columns: Int, effort: FeedbackEffort) -> Int {
    if ScalarShape(self) != nil { return FeedbackBatch<ScalarFeedback>.bytes(columns: columns, effort: effort) }
    guard let shape = CodebookShape.of(self) else { return 0 }
    return FeedbackBatch<CodebookFormat>.bytes(columns: columns, effort: effort)
      + CodebookScratch.bytes(shape, width: CodebookFormat.beamWidth(shape, effort: effort))
  }
}

extension FeedbackBatch {
  /// Bytes of a batch: errors of all columns, a panel of all rows, and the choices.
  fileprivate static func bytes(columns: Int, effort: FeedbackEffort) -> Int {
    let full = FeedbackMetric.panelColumns
    let errors = (effort >= .descent ? 2 : 1) * 4 * capacity * columns
    let panels = (columns + full - 1) / full
    return errors + 4 * capacity * (full + FeedbackStorage.tileColumns) + 32 * Format.octets * 4 * full + columns
      + panels * capacity * MemoryLayout<Format.Choice>.stride
  }
}
