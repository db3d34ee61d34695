import GGUF

/// The rows of the embedding that a text uses, each read once.
struct EmbeddingRows {
  private let width: Int
  private let place: [Int32: Int]
  private let rows: FloatBuffer

  /// - Throws: ``ForwardError/unknownToken(_:window:position:vocabulary:)``
  init(_ windows: [[Int32]], source: any ModelSource, tensor: TensorInfo) throws {
    width = tensor.shape.columns
    var seen = Set<Int32>()
    for (number, window) in windows.enumerated() {
      for (position, token) in window.enumerated() where seen.insert(token).inserted {
        guard token >= 0 && token < tensor.shape.rows else {
          throw ForwardError.unknownToken(token, window: number, position: position, vocabulary: tensor.shape.rows)
        }
      }
    }
    let sorted = seen.sorted()
    let rows = FloatBuffer(count: sorted.count * width)
    defer { extendLifetime(rows) }
    var place: [Int32: Int] = [:]
    var start = 0
    while start < sorted.count {
      var end = start + 1
      while end < sorted.count, sorted[end] == sorted[end - 1] + 1 { end += 1 }
      try rows.floats.slice(start * width, (end - start) * width).withMutableSpan {
        try source.readRows(of: tensor, rows: Int(sorted[start])..<Int(sorted[end - 1]) + 1, into: &$0)
      }
      for index in start..<end { place[sorted[index]] = index }
      start = end
    }
    self.place = place
    self.rows = rows
  }

  func write(_ tokens: [Int32], into out: Floats) throws {
    defer { extendLifetime(rows) }
    for (index, token) in tokens.enumerated() {
      copyRows(
        from: rows.floats.from(place[token]! * width), stride: width, to: out.from(index * width), stride: width,
        rows: 1, columns: width)
    }
  }
}
