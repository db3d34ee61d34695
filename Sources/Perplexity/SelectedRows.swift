/// Some rows of a source, in ascending order.
struct SelectedRows: LogitSource {
  private let source: any LogitSource
  private let rows: [Int]
  var rowCount: Int { rows.count }
  var vocabularyCount: Int { source.vocabularyCount }

  init(of source: any LogitSource, rows: [Int]) {
    self.source = source
    self.rows = rows
  }

  var loadedRowBytes: Int { source.loadedRowBytes * spread }

  /// The source's rows per selected row, averaged over all rows. Bounds the rows that a range needs.
  private var spread: Int {
    guard let first = rows.first, let last = rows.last else { return 1 }
    return max(1, (last - first + rows.count) / rows.count)
  }

  func load(rows range: Range<Int>) throws {
    guard let first = rows[range].first, let last = rows[range].last else { return }
    try source.load(rows: first..<last + 1)
  }

  func logits(rows range: Range<Int>, vocabulary: Range<Int>, into output: inout MutableSpan<Float>) throws {
    var start = range.lowerBound
    while start < range.upperBound {
      // Consecutive rows are computed in one product.
      var end = start + 1
      while end < range.upperBound, rows[end] == rows[end - 1] + 1 { end += 1 }
      var part = [Float](repeating: 0, count: (end - start) * vocabulary.count)
      var span = part.mutableSpan
      try source.logits(rows: rows[start]..<rows[end - 1] + 1, vocabulary: vocabulary, into: &span)
      let first = (start - range.lowerBound) * vocabulary.count
      for index in part.indices { output[first + index] = part[index] }
      start = end
    }
  }
}

extension SelectedRows {
  /// The rows of some windows.
  init(of source: any LogitSource, windows: [Int], perWindow: Int) {
    self.init(of: source, rows: windows.flatMap { Array($0 * perWindow..<($0 + 1) * perWindow) })
  }
}
