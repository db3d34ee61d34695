import Tensors
import TestSupport
import Testing

@Suite(.serialized) struct GramMatrixTests {
  /// The largest error of an element, by the root of the product of the two diagonal elements: sums of squares of some
  /// hundred terms in single precision.
  private static let tolerance = 2e-6

  private func inputs(tokens: Int, columns: Int) -> [Float] {
    var random = SplitMix(seed: UInt64(tokens + 7 * columns))
    return random.floats(tokens * columns, bound: 1)
  }

  private func gram(_ x: [Float], columns: Int, block: Int? = nil, calls: [Int]) throws -> GramMatrix {
    var gram = GramMatrix(columns: columns, blockColumns: block)
    var row = 0
    for rows in calls {
      try gram.add(x.span.extracting(row * columns..<(row + rows) * columns))
      row += rows
    }
    #expect(row * columns == x.count)
    try gram.finish()
    return gram
  }

  @Test(arguments: [(1, 1, nil), (5, 3, nil), (700, 300, nil), (300, 600, 256), (257, 530, 100)] as [(Int, Int, Int?)])
  func agreesWithThePlainLoops(tokens: Int, columns: Int, block: Int?) throws {
    let x = inputs(tokens: tokens, columns: columns)
    let found = try gram(x, columns: columns, block: block, calls: [tokens])
    #expect(found.tokens == tokens)
    #expect(found.ranges.map(\.count).reduce(0, +) == columns)
    func plain(_ i: Int, _ j: Int) -> Double {
      (0..<tokens).reduce(0) { $0 + Double(x[$1 * columns + i]) * Double(x[$1 * columns + j]) }
    }
    var worst = 0.0
    for range in found.ranges {
      let values = found.values[found.offset(of: range)..<found.offset(of: range) + range.count * range.count]
      for i in stride(from: 0, to: range.count, by: max(1, range.count / 37)) {
        for j in i..<range.count {
          let (row, column) = (range.lowerBound + i, range.lowerBound + j)
          let scale = (plain(row, row) * plain(column, column)).squareRoot()
          worst = max(worst, abs(Double(values[values.startIndex + i * range.count + j]) - plain(row, column)) / scale)
        }
        #expect(found.diagonal[range.lowerBound + i] == values[values.startIndex + i * (range.count + 1)])
      }
    }
    #expect(worst < Self.tolerance)
  }

  /// Neither how many tokens come at a time nor how many threads there are changes a bit.
  @Test func bitsDependOnTheTokensAlone() throws {
    let (tokens, columns) = (1000, 520)
    let x = inputs(tokens: tokens, columns: columns)
    try withFixedThreads {
      Threads.count = 1
      let expected = try gram(x, columns: columns, calls: [tokens])
      for threads in [1, 3] {
        Threads.count = threads
        for calls in [[tokens], [1, 255, 256, 300, 188], [512, 488]] {
          let found = try gram(x, columns: columns, calls: calls)
          #expect(found.values == expected.values, "\(threads) threads, \(calls)")
        }
      }
    }
  }

  @Test func columnsThatAreNeverDrivenAndNoTokensGiveZeros() throws {
    var x = inputs(tokens: 40, columns: 10)
    for token in 0..<40 { x[token * 10 + 3] = 0 }
    let found = try gram(x, columns: 10, calls: [40])
    #expect((0..<10).allSatisfy { found.values[30 + $0] == 0 && found.values[$0 * 10 + 3] == 0 })
    #expect(found.diagonal[2] > 0)
    let nothing = try gram([], columns: 10, calls: [])
    #expect(nothing.tokens == 0 && nothing.values.allSatisfy { $0 == 0 })
  }

  @Test func bytesCountEveryBlock() {
    #expect(GramMatrix.bytes(columns: 600, blockColumns: 256) == 4 * (2 * 256 * 256 + 88 * 88 + 256 * 600))
    #expect(GramMatrix.bytes(columns: 100, blockColumns: 256) == 4 * (100 * 100 + 256 * 100))
  }

  @Test(arguments: [nil, 256] as [Int?])
  func costIsTheSquareOfTheOutputs(block: Int?) throws {
    let (tokens, columns) = (50, 300)
    let x = inputs(tokens: tokens, columns: columns)
    var errors = inputs(tokens: 3, columns: columns)
    errors[5] = 0
    let blocks = block.map { [0..<$0, $0..<columns] } ?? [0..<columns]
    var expected = 0.0
    for row in 0..<3 {
      for token in 0..<tokens {
        for range in blocks {
          let output = range.reduce(0.0) {
            $0 + Double(errors[row * columns + $1]) * Double(x[token * columns + $1])
          }
          expected += output * output
        }
      }
    }
    let found = try gram(x, columns: columns, block: block, calls: [tokens]).cost(of: errors.span)
    #expect(abs(found - expected) < 1e-5 * expected)
  }

  @Test func sumsOfTwoTextsAreThoseOfBoth() throws {
    let x = inputs(tokens: 512, columns: 20)
    var half = try gram(Array(x[..<5120]), columns: 20, calls: [256])
    half.add(try gram(Array(x[5120...]), columns: 20, calls: [256]))
    let whole = try gram(x, columns: 20, calls: [512])
    #expect(half.tokens == 512)
    for index in whole.values.indices { #expect(abs(half.values[index] - whole.values[index]) < 1e-3) }
  }

  /// A fully shrunk matrix has its own diagonal, and the correlations of the other; without another, none.
  @Test func shrinkingKeepsTheDiagonal() throws {
    let own = try gram(inputs(tokens: 3, columns: 12), columns: 12, calls: [3])
    let layer = try gram(inputs(tokens: 400, columns: 12), columns: 12, calls: [400])
    var (shrunk, half, alone) = (own, own, own)
    shrunk.shrink(by: 1, toward: layer)
    half.shrink(by: 0.5, toward: layer)
    alone.shrink(by: 1)
    #expect(shrunk.diagonal == own.diagonal && half.diagonal == own.diagonal && alone.diagonal == own.diagonal)
    for row in 0..<12 {
      for column in row + 1..<12 {
        let index = row * 12 + column
        let correlation = layer.values[index] / (layer.diagonal[row] * layer.diagonal[column]).squareRoot()
        let expected = correlation * (own.diagonal[row] * own.diagonal[column]).squareRoot()
        #expect(abs(shrunk.values[index] - expected) < 1e-5)
        #expect(abs(half.values[index] - (own.values[index] + shrunk.values[index]) / 2) < 1e-5)
        #expect(alone.values[index] == 0)
      }
    }
  }
}
