import Tensors

/// Goes over whole rows of logits, for what needs a row at once: sorting it, or storing it.
///
/// As many rows as `memory` holds are gathered from tiles of the vocabulary, then worked on in parallel. `body` gets
/// the logits of one row; `take` gets the results of consecutive rows, in order.
///
/// - Throws: ``ScoringError/nonFiniteLogits(model:window:position:)``, and what the closures throw.
func forEachRow<Result: Sendable>(
  of source: any LogitSource, named name: String, windows: ScoringWindows, memory: Int,
  progress: (Double) throws -> Void,
  body: @Sendable (_ row: Int, _ logits: UnsafeMutablePointer<Float>) throws -> Result,
  take: ([Result]) throws -> Void
) throws {
  let vocabulary = source.vocabularyCount
  guard source.rowCount == windows.rowCount else {
    throw ScoringError.positionsDiffer(model: name, count: source.rowCount, expected: windows.rowCount)
  }
  if let wrong = windows.targets.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
    throw ScoringError.unknownToken(id: wrong, vocabulary: vocabulary)
  }
  let height = min(source.rowCount, max(1, memory / 2 / (vocabulary * MemoryLayout<Float>.size)))
  guard height > 0, vocabulary > 0 else { return }
  let width = min(vocabulary, ScoringPass.vocabularyTile)
  let tile = LogitTile(capacity: height * width)
  let rows = LogitTile(capacity: height * vocabulary)
  for start in stride(from: 0, to: source.rowCount, by: height) {
    let range = start..<min(source.rowCount, start + height)
    try source.load(rows: range)
    for first in stride(from: 0, to: vocabulary, by: width) {
      let columns = first..<min(vocabulary, first + width)
      try tile.fill(0, from: (name, source), rows: range, vocabulary: columns, windows)
      tile.copy(to: rows, rows: range.count, columns: columns, width: vocabulary)
    }
    let grain = 4
    let parts = (range.count + grain - 1) / grain
    var results = [[Result]](repeating: [], count: parts)
    try fillInParallel(&results) { part in
      try (part * grain..<min(range.count, (part + 1) * grain)).map { offset in
        let logits = rows.mutableRow(offset, columns: vocabulary)
        guard allFinite(logits, vocabulary) else {
          let place = windows.place(ofRow: start + offset)
          throw ScoringError.nonFiniteLogits(model: name, window: place.window, position: place.position)
        }
        return try body(start + offset, logits)
      }
    }
    try take(results.flatMap { $0 })
    try progress(Double(range.upperBound) / Double(source.rowCount))
  }
}
