import Tensors

/// Visits complete rows of logits, to sort or store them.
///
/// As many rows as fit into half of `memory` are gathered from tiles of the vocabulary, then processed in parallel.
/// `body` gets the logits of one row, and `collect` gets the results of consecutive rows, in order.
///
/// - Throws: ``ScoringError``, and what the closures and `progress` throw.
func forEachRow<Result: Sendable>(
  of source: any LogitSource, named name: String, windows: ScoringWindows, memory: Int, progress: any RunObserver,
  body: @Sendable (_ row: Int, _ logits: UnsafeMutablePointer<Float>) throws -> Result,
  collect: ([Result]) throws -> Void
) throws {
  let vocabulary = source.vocabularyCount
  let height = min(source.rowCount, max(1, memory / 2 / max(1, vocabulary * MemoryLayout<Float>.size)))
  let walk = try VocabularyWalk([(name, source)], windows: windows, groupRows: height, tileRows: height)
  guard height > 0, vocabulary > 0 else { return }
  let rows = LogitTile(capacity: height * vocabulary)
  try walk.forEachTile(
    progress: progress,
    body: { tile, range, columns in tile.copy(to: rows, rows: range.count, columns: columns, width: vocabulary) },
    end: { range in
      let grain = 4
      var results = [[Result]](repeating: [], count: (range.count + grain - 1) / grain)
      try fillInParallel(&results) { part in
        try (part * grain..<min(range.count, (part + 1) * grain)).map { offset in
          let logits = rows.mutableRow(offset, columns: vocabulary)
          guard allFinite(logits, vocabulary) else {
            let location = windows.location(ofRow: range.lowerBound + offset)
            throw ScoringError.nonFiniteLogits(model: name, window: location.window, position: location.position)
          }
          return try body(range.lowerBound + offset, logits)
        }
      }
      try collect(results.flatMap { $0 })
    })
}
