import GGUF

/// The rows of the embedding for some tokens, each read once.
struct EmbeddingRows {
  private let width: Int
  private let rowOfToken: [Int32: Int]
  private let rows: FloatBuffer

  /// The distinct tokens of a text, in ascending order.
  ///
  /// - Throws: ``ForwardError/unknownToken(_:window:position:vocabulary:)``
  static func tokens(of windows: [[Int32]], vocabulary: Int) throws(ForwardError) -> [Int32] {
    var seen = Set<Int32>()
    for (index, window) in windows.enumerated() {
      for (position, token) in window.enumerated() where seen.insert(token).inserted {
        guard token >= 0 && token < vocabulary else {
          throw .unknownToken(token, window: index, position: position, vocabulary: vocabulary)
        }
      }
    }
    return seen.sorted()
  }

  /// Reads the rows of tokens in ascending order.
  ///
  /// - Throws: ``ForwardError/nonFinite(tensor:window:position:)``, and errors of the source.
  init(_ tokens: ArraySlice<Int32>, source: any ModelSource, tensor: TensorInfo) throws {
    width = tensor.shape.columns
    let rows = FloatBuffer(count: tokens.count * width)
    var rowOfToken: [Int32: Int] = [:]
    var start = tokens.startIndex
    while start < tokens.endIndex {
      var end = start + 1
      while end < tokens.endIndex, tokens[end] == tokens[end - 1] + 1 { end += 1 }
      let first = start - tokens.startIndex
      try rows.floats.slice(first * width, (end - start) * width).withMutableSpan {
        try source.readRows(of: tensor, rows: Int(tokens[start])..<Int(tokens[end - 1]) + 1, into: &$0)
      }
      for index in start..<end { rowOfToken[tokens[index]] = index - tokens.startIndex }
      start = end
    }
    guard isFinite(rows.floats, rows: tokens.count, columns: width) else {
      throw ForwardError.nonFinite(tensor: tensor.name)
    }
    self.rowOfToken = rowOfToken
    self.rows = rows
  }

  /// The row of a token; nil if it is not here.
  func row(of token: Int32) -> FloatView? { rowOfToken[token].map { rows.floats.slice($0 * width, width) } }

  /// Writes the row of each token to its index in `out`. Tokens without a row here are skipped.
  func write(_ tokens: [Int32], into out: FloatView) {
    for (index, token) in tokens.enumerated() {
      guard let row = row(of: token) else { continue }
      copyRows(
        from: row, stride: width, to: out.from(index * width), stride: width, rows: 1,
        columns: width)
    }
  }
}
