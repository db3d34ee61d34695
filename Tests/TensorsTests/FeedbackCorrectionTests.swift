import Tensors
import TestSupport
import Testing

@Suite struct FeedbackCorrectionTests {
  /// Solves a x = b by elimination with pivots.
  private func plainSolve(_ a: [[Double]], _ b: [Double]) -> [Double] {
    var (a, b) = (a, b)
    let n = b.count
    for k in 0..<n {
      let pivot = (k..<n).max { abs(a[$0][k]) < abs(a[$1][k]) }!
      a.swapAt(k, pivot)
      b.swapAt(k, pivot)
      for row in k + 1..<max(k + 1, n) {
        let factor = a[row][k] / a[k][k]
        for column in k..<n { a[row][column] -= factor * a[k][column] }
        b[row] -= factor * b[k]
      }
    }
    for k in (0..<n).reversed() {
      for column in k + 1..<max(k + 1, n) { b[k] -= a[k][column] * b[column] }
      b[k] /= a[k][k]
    }
    return b
  }

  /// The product of sums with the inverse of the damped matrix, by plain loops.
  @Test func agreesWithThePlainSolution() throws {
    let (tokens, columns, rows) = (300, 21, 5)
    var random = SplitMix(seed: 9)
    let exact = random.floats(tokens * columns, bound: 1)
    let rounded = zip(exact, random.floats(tokens * columns, bound: 0.2)).map { $0 + $1 }
    let states = random.floats(tokens * rows, bound: 1)
    let roundedStates = zip(states, random.floats(tokens * rows, bound: 0.3)).map { $0 + $1 }
    let weights = random.floats(rows * columns, bound: 1)

    var gram = GramMatrix(columns: columns)
    try gram.add(rounded.span)
    try gram.finish()
    var drift = CrossProduct(rows: columns, columns: columns)
    var residual = CrossProduct(rows: rows, columns: columns)
    // In two parts, which is not to matter.
    for part in [0..<130, 130..<tokens] {
      func span(_ values: [Float], _ width: Int) -> [Float] {
        Array(values[part.lowerBound * width..<part.upperBound * width])
      }
      let (x, y) = (span(exact, columns), span(rounded, columns))
      try drift.add(x.span, minus: y.span, times: y.span)
      try residual.add(span(states, rows).span, minus: span(roundedStates, rows).span, times: y.span)
    }
    try drift.finish()
    try residual.finish()
    let correction = try #require(try FeedbackCorrection(gram: gram, drift: drift, residual: residual))
    var found = weights
    try correction.apply(to: &found, first: 0)

    func sum(_ body: (Int) -> Double) -> Double { (0..<tokens).reduce(0) { $0 + body($1) } }
    var h = (0..<columns).map { i in
      (0..<columns).map { j in sum { Double(rounded[$0 * columns + i]) * Double(rounded[$0 * columns + j]) } }
    }
    let mean = (0..<columns).reduce(0) { $0 + h[$1][$1] } / Double(columns)
    for column in 0..<columns { h[column][column] += 0.01 * mean }
    for row in 0..<rows {
      let target = (0..<columns).map { j in
        sum { token in
          let lost = (0..<columns).reduce(0.0) {
            let index = token * columns + $1
            return $0 + Double(weights[row * columns + $1]) * (Double(exact[index]) - Double(rounded[index]))
          }
          let state = Double(states[token * rows + row]) - Double(roundedStates[token * rows + row])
          return (lost + state) * Double(rounded[token * columns + j])
        }
      }
      let expected = plainSolve(h, target)
      for column in 0..<columns {
        let value = Double(weights[row * columns + column]) + 0.5 * expected[column]
        #expect(abs(Double(found[row * columns + column]) - value) < 1e-4, "\(row) \(column)")
      }
    }
  }

  /// Streams that agree need no correction.
  @Test func streamsThatAgreeChangeNothing() throws {
    var random = SplitMix(seed: 2)
    let x = random.floats(40 * 16, bound: 1)
    var gram = GramMatrix(columns: 16)
    try gram.add(x.span)
    try gram.finish()
    var drift = CrossProduct(rows: 16, columns: 16)
    try drift.add(x.span, minus: x.span, times: x.span)
    try drift.finish()
    let correction = try #require(try FeedbackCorrection(gram: gram, drift: drift, residual: nil))
    let weights = random.floats(3 * 16, bound: 1)
    var found = weights
    try correction.apply(to: &found, first: 0)
    #expect(found == weights)
  }

  @Test func inputsThatAreZeroHaveNoCorrection() throws {
    let drift = CrossProduct(rows: 4, columns: 4)
    #expect(try FeedbackCorrection(gram: GramMatrix(columns: 4), drift: drift, residual: nil) == nil)
  }

  @Test func bitsDoNotDependOnThreads() throws {
    let (tokens, columns, rows) = (100, 300, 280)
    var random = SplitMix(seed: 3)
    let (x, y) = (random.floats(tokens * columns, bound: 1), random.floats(tokens * columns, bound: 1))
    let (s, t) = (random.floats(tokens * rows, bound: 1), random.floats(tokens * rows, bound: 1))
    func corrected() throws -> [Float] {
      var gram = GramMatrix(columns: columns)
      var drift = CrossProduct(rows: columns, columns: columns)
      var residual = CrossProduct(rows: rows, columns: columns)
      try gram.add(y.span)
      try drift.add(x.span, minus: y.span, times: y.span)
      try residual.add(s.span, minus: t.span, times: y.span)
      try gram.finish()
      try drift.finish()
      try residual.finish()
      var weights = [Float](repeating: 0.5, count: rows * columns)
      try FeedbackCorrection(gram: gram, drift: drift, residual: residual)?.apply(to: &weights, first: 0)
      return weights
    }
    try withFixedThreads {
      Threads.count = 1
      let expected = try corrected()
      Threads.count = 3
      #expect(try corrected() == expected)
    }
  }
}
