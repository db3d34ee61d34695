import Foundation
import Perplexity

/// Logits in memory, [rows, vocabulary].
struct TableSource: LogitSource {
  let rowCount: Int
  let vocabularyCount: Int
  var values: [Float]

  init(rows: Int, vocabulary: Int, values: [Float]) {
    precondition(values.count == rows * vocabulary)
    rowCount = rows
    vocabularyCount = vocabulary
    self.values = values
  }

  func logits(rows: Range<Int>, vocabulary: Range<Int>, into output: inout MutableSpan<Float>) throws {
    var index = 0
    for row in rows {
      for token in vocabulary {
        output[index] = values[row * vocabularyCount + token]
        index += 1
      }
    }
  }

  /// ln p of every token of a row, in double precision, by the definition.
  func logProbabilities(row: Int) -> [Double] {
    let x = values[row * vocabularyCount..<(row + 1) * vocabularyCount].map(Double.init)
    let peak = x.max()!
    let sum = x.reduce(0) { $0 + exp($1 - peak) }
    return x.map { $0 - peak - log(sum) }
  }
}

/// KL(p || q) by the definition.
func plainDivergence(_ p: [Double], _ q: [Double]) -> Double {
  zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
}

/// Bytes for tiles of logits, for tests of other properties.
let scoringMemory = 1 << 28
