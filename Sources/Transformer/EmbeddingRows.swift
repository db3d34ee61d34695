import GGUF

/// Some rows of the embedding, each read once.
struct EmbeddingRows {
  private let width: Int
  private let place: [Int32: Int]
  private let rows: FloatBuffer

  /// The tokens that a text uses, each once, in order.
  ///
  /// - Throws: ``ForwardError/unknownToken(_:window:position:vocabulary:)``
  static func tokens(of windows: [[Int32]], vocabulary: Int) throws(ForwardError) -> [Int32] {
    var seen = Set<Int32>()
    for (number, window) in windows.enumerated() {
      for (position, token) in window.enumerated() where seen.insert(token).inserted {
        guard token >= 0 && token < vocabulary else {
          throw .unknownToken(token, window: number, position: position, vocabulary: vocabulary)
        }
      }
    }
    return seen.sorted()
  }

  /// Reads the rows of tokens in ascending order.
  ///
  /// - Throws: ``ForwardError/nonFinite(tensor:window:position:)``, and what reading throws.
  init(_ tokens: ArraySlice<Int32>, source: any ModelSource, tensor: TensorInfo) throws {
    width = tensor.shape.columns
    let rows = FloatBuffer(count: tokens.count * width)
    var place: [Int32: Int] = [:]
    var start = tokens.startIndex
    while start < tokens.endIndex {
      var end = start + 1
      while end < tokens.endIndex, tokens[end] == tokens[end - 1] + 1 { end += 1 }
      let first = start - tokens.startIndex
      try rows.floats.slice(first * width, (end - start) * width).withMutableSpan {
        try source.readRows(of: tensor, rows: Int(tokens[start])..<Int(tokens[end - 1]) + 1, into: &$0)
      }
      for index in start..<end { place[tokens[index]] = index - tokens.startIndex }
      start = end
    }
    guard isFinite(rows.floats, rows: tokens.count, columns: width) else {
      throw ForwardError.nonFinite(tensor: tensor.name)
    }
    self.place = place
    self.rows = rows
  }

  /// Writes the rows of those tokens that are among these, and leaves the others' places as they are.
  func write(_ tokens: [Int32], into out: Floats) {
    for (index, token) in tokens.enumerated() {
      guard let row = place[token] else { continue }
      copyRows(
        from: rows.floats.from(row * width), stride: width, to: out.from(index * width), stride: width, rows: 1,
        columns: width)
    }
  }
}
