import Tensors
import TestSupport
import Testing

@Suite struct ProductEngineTests {
  /// The maximum error of an element, relative to the sum of its terms' magnitudes. The worst case of a chain of
  /// additions is 6e-8 times its length; errors of random sign are far smaller.
  static let tolerance = 1e-6

  struct Case: Sendable, CustomTestStringConvertible {
    let engine: any ProductEngine
    let shape: ProductShape
    let accumulate: Bool
    var testDescription: String { "\(engine.name) \(shape) \(accumulate)" }

    static let all = ProductEngines.all.flatMap { engine in
      [
        ProductShape(tokens: 1, columns: 1, rows: 1), ProductShape(tokens: 7, columns: 36, rows: 21),
        ProductShape(tokens: 12, columns: 8, rows: 40, xStride: 11, yStride: 47),
        ProductShape(tokens: 6, columns: 2050, rows: 33), ProductShape(tokens: 600, columns: 40, rows: 530),
        ProductShape(tokens: 3, columns: 1, rows: 5), ProductShape(tokens: 500, columns: 1100, rows: 17),
      ].flatMap { shape in [false, true].map { Case(engine: engine, shape: shape, accumulate: $0) } }
    }
  }

  /// x, w in layout `rows`, and y before the product; gaps between rows are filled too.
  private func matrices(_ shape: ProductShape) -> (x: [Float], w: [Float], y: [Float]) {
    var random = SplitMix(seed: UInt64(shape.tokens + 1000 * shape.columns + 7 * shape.rows))
    return (
      random.floats(shape.tokens * shape.xStride, bound: 1), random.floats(shape.rows * shape.columns, bound: 1),
      random.floats(shape.tokens * shape.yStride, bound: 1)
    )
  }

  private func laidOut(_ w: [Float], _ shape: ProductShape, for engine: any ProductEngine) -> [Float] {
    guard engine.layout == .panels else { return w }
    var panels = [Float](repeating: .nan, count: WeightLayout.count(rows: shape.rows, columns: shape.columns))
    var span = panels.mutableSpan
    PackedProduct.pack(w.span, rows: shape.rows, columns: shape.columns, into: &span)
    return panels
  }

  /// Compares y with sums in double precision, and its gaps with their former values.
  private func check(_ y: [Float], _ x: [Float], _ w: [Float], before: [Float], _ shape: ProductShape, adds: Bool) {
    var worst = 0.0
    for token in 0..<shape.tokens {
      for row in 0..<shape.yStride {
        let index = token * shape.yStride + row
        guard row < shape.rows else {
          #expect(y[index] == before[index], "a gap was written")
          continue
        }
        var sum = adds ? Double(before[index]) : 0
        var magnitude = abs(sum) + 1e-30
        for column in 0..<shape.columns {
          let term = Double(x[token * shape.xStride + column]) * Double(w[row * shape.columns + column])
          sum += term
          magnitude += abs(term)
        }
        worst = max(worst, abs(Double(y[index]) - sum) / magnitude)
      }
    }
    #expect(worst < Self.tolerance)
  }

  @Test(arguments: Case.all) func agreesWithThePlainLoop(_ test: Case) throws {
    let (x, w, before) = matrices(test.shape)
    let weights = laidOut(w, test.shape, for: test.engine)
    func product(threads: Int) throws -> [Float] {
      try withFixedThreads {
        Threads.count = threads
        var y = before
        var span = y.mutableSpan
        try test.engine.multiply(
          x.span, by: weights.span, into: &span, shape: test.shape, accumulate: test.accumulate)
        return y
      }
    }
    let y = try product(threads: 1)
    check(y, x, w, before: before, test.shape, adds: test.accumulate)
    #expect(try product(threads: 3) == y, "the product depends on threads")
  }

  @Test(arguments: Case.all.filter { !$0.accumulate }) func agreesOnOneThread(_ test: Case) {
    let (x, w, before) = matrices(test.shape)
    var y = before
    var span = y.mutableSpan
    test.engine.multiplyOnThread(x.span, by: w.span, into: &span, shape: test.shape)
    check(y, x, w, before: before, test.shape, adds: false)
  }

  @Test(arguments: [Float.nan, .infinity], ProductEngines.all.map(\.name))
  func namesTheRowThatIsNotFinite(value: Float, engine: String) throws {
    let engine = try ProductEngines.named(engine)
    let shape = ProductShape(tokens: 20, columns: 24, rows: 40)
    var (x, w, y) = matrices(shape)
    x[13 * 24 + 5] = value
    w[5] = 1
    let weights = laidOut(w, shape, for: engine)
    #expect(throws: NonFiniteProduct(row: 13)) {
      var span = y.mutableSpan
      try engine.multiply(x.span, by: weights.span, into: &span, shape: shape, accumulate: false)
    }
  }

  @Test func anUnknownEngineIsRefused() {
    #expect(throws: UnknownProductEngine(name: "abacus")) { try ProductEngines.named("abacus") }
  }
}
