import Tensors
import TestSupport
import Testing

/// The factor of a Gram matrix against plain loops, and matrices that are not one.
@Suite struct FeedbackMetricTests {
  /// Columns that share directions, of very different sizes.
  static func gram(_ columns: Int, inputs: Int, seed: UInt64) -> [Float] {
    var random = SplitMix(seed: seed)
    var sum = [Double](repeating: 0, count: columns * columns)
    for _ in 0..<inputs {
      let shared = Double(random.normal())
      let x = (0..<columns).map { Double(random.normal()) * (1 + Double($0 % 7)) + shared }
      for i in 0..<columns {
        for j in 0..<columns { sum[i * columns + j] += x[i] * x[j] / Double(inputs) }
      }
    }
    return sum.map { Float($0) }
  }

  /// U with H⁻¹ = UᵀU by plain loops: R from the last column to the first, then its inverse.
  static func plainFactor(_ h: [Double], _ n: Int) -> [Double] {
    var r = [Double](repeating: 0, count: n * n)
    for j in (0..<n).reversed() {
      for i in (0...j).reversed() {
        var sum = h[i * n + j]
        for k in j + 1..<max(n, j + 1) { sum -= r[i * n + k] * r[j * n + k] }
        r[i * n + j] = i == j ? sum.squareRoot() : sum / r[j * n + j]
      }
    }
    var u = [Double](repeating: 0, count: n * n)
    for j in 0..<n {
      for i in (0...j).reversed() {
        var sum = i == j ? 1.0 : 0
        for k in i + 1..<max(j + 1, i + 1) { sum -= r[i * n + k] * u[k * n + j] }
        u[i * n + j] = sum / r[i * n + i]
      }
    }
    return u
  }

  /// H in the order of processing.
  static func damped(_ gram: [Float], _ order: [Int], mean: Double, by share: Double) -> [Double] {
    let n = order.count
    return (0..<n * n).map { index in
      let (i, j) = (order[index / n], order[index % n])
      return Double(gram[min(i, j) * n + max(i, j)]) / mean + (i == j ? share : 0)
    }
  }

  @Test(arguments: [32, 256, 300, 576]) func factorIsThePlainOne(columns: Int) throws {
    let gram = Self.gram(columns, inputs: 40, seed: 3)
    let metric = try FeedbackMetric(gram: gram.span, columns: columns)
    let mean = (0..<columns).reduce(0.0) { $0 + Double(gram[$1 * columns + $1]) } / Double(columns)
    let order = metric.order.map { Int($0) }
    #expect(order.sorted() == Array(0..<columns))
    let h = Self.damped(gram, order, mean: mean, by: 0.01)
    let expected = Self.plainFactor(h, columns)
    #expect(metric.damping == 0.01 && abs(metric.meanDiagonal / mean - 1) < 1e-12)
    for row in 0..<columns {
      let pivot = expected[row * columns + row]
      #expect(abs(Double(metric.pivot(row)) * pivot * pivot - 1) < 1e-6)
      for column in 0..<columns {
        let difference = abs(Double(metric.factor(row: row, column: column)) - expected[row * columns + column] / pivot)
        #expect(difference < 1e-6, "\(row) \(column)")
        #expect(metric.gram(row: row, column: column) == Float(h[row * columns + column]))
      }
    }
  }

  @Test func diagonalBlocksAreFactoredAlone() throws {
    let gram = Self.gram(600, inputs: 50, seed: 4)
    let metric = try FeedbackMetric(gram: gram.span, columns: 600, blockColumns: 256)
    var blocks: [Float] = []
    for range in [0..<256, 256..<512, 512..<600] {
      for row in range { blocks += gram[row * 600 + range.lowerBound..<row * 600 + range.upperBound] }
    }
    let collected = try FeedbackMetric(diagonalBlocks: blocks.span, columns: 600, blockColumns: 256)
    for row in 0..<600 {
      for column in 0..<600 {
        #expect(metric.factor(row: row, column: column) == collected.factor(row: row, column: column))
        #expect(metric.gram(row: row, column: column) == collected.gram(row: row, column: column))
        if row / 256 != column / 256 { #expect(metric.factor(row: row, column: column) == 0) }
      }
    }
    // The last block by itself, with the whole matrix's mean and damping.
    var last: [Float] = []
    for row in 512..<600 { last += gram[row * 600 + 512..<row * 600 + 600] }
    let order = metric.order[512...].map { Int($0) - 512 }
    let expected = Self.plainFactor(Self.damped(last, order, mean: metric.meanDiagonal, by: 0.01), 88)
    for row in 0..<88 {
      for column in row..<88 {
        let value = expected[row * 88 + column] / expected[row * 88 + row]
        #expect(abs(Double(metric.factor(row: 512 + row, column: 512 + column)) - value) < 1e-6)
      }
    }
  }

  @Test func threadsDoNotChangeBits() throws {
    let gram = Self.gram(800, inputs: 30, seed: 5)
    let metrics = try withFixedThreads {
      try [1, 3].map { count in
        Threads.count = count
        return try FeedbackMetric(gram: gram.span, columns: 800)
      }
    }
    for row in stride(from: 0, to: 800, by: 7) {
      for column in row..<800 {
        #expect(metrics[0].factor(row: row, column: column) == metrics[1].factor(row: row, column: column))
      }
    }
  }

  @Test func deadColumnsAndFewInputsAreDamped() throws {
    var gram = Self.gram(256, inputs: 3, seed: 6)
    for k in 0..<256 { (gram[5 * 256 + k], gram[k * 256 + 5]) = (0, 0) }
    let metric = try FeedbackMetric(gram: gram.span, columns: 256)
    #expect(metric.damping == 0.01)
    let position = try #require(metric.order.firstIndex(of: 5))
    #expect(metric.pivot(position) == 0.01)
    for other in 0..<256 where other != position {
      #expect(metric.factor(row: min(position, other), column: max(position, other)) == 0)
      #expect(metric.pivot(other).isFinite && metric.pivot(other) > 0)
    }
  }

  @Test func groupsComeByDescendingEnergy() throws {
    var gram = [Float](repeating: 0, count: 320 * 320)
    for k in 0..<320 { gram[k * 320 + k] = 1 }
    // The strongest column is in the second 8 of the second 16 of the third 32; the next in the second panel.
    gram[95 * 320 + 95] = 9
    gram[290 * 320 + 290] = 20
    let order = try FeedbackMetric(gram: gram.span, columns: 320).order.map { Int($0) }
    #expect(Array(order[0..<32]) == Array(88..<96) + Array(80..<88) + Array(64..<80))
    #expect(Array(order[32..<40]) == Array(0..<8) && Array(order[248..<256]) == Array(248..<256))
    #expect(Array(order[256..<320]) == Array(288..<320) + Array(256..<288))
  }

  @Test func anIndefiniteMatrixIsDampedMoreOrRefused() throws {
    // The least eigenvalue is -0.05.
    var gram = [Float](repeating: 0, count: 64 * 64)
    for k in 0..<64 { gram[k * 64 + k] = 1 }
    (gram[1], gram[64]) = (1.05, 1.05)
    let metric = try FeedbackMetric(gram: gram.span, columns: 64)
    #expect(metric.damping == 0.1)
    (gram[1], gram[64]) = (50, 50)
    #expect(throws: FeedbackMetricError.indefinite(columns: 0..<64)) {
      try FeedbackMetric(gram: gram.span, columns: 64)
    }
  }

  @Test func hostileEntriesAreNamed() {
    var gram = [Float](repeating: 1, count: 32 * 32)
    gram[3 * 32 + 9] = .nan
    #expect(throws: FeedbackMetricError.nonFinite(row: 3, column: 9)) {
      try FeedbackMetric(gram: gram.span, columns: 32)
    }
    gram[3 * 32 + 9] = .infinity
    #expect(throws: FeedbackMetricError.nonFinite(row: 3, column: 9)) {
      try FeedbackMetric(gram: gram.span, columns: 32)
    }
    gram[3 * 32 + 9] = 1
    gram[4 * 32 + 4] = -1
    #expect(throws: FeedbackMetricError.negativeDiagonal(column: 4)) {
      try FeedbackMetric(gram: gram.span, columns: 32)
    }
    let zeros = [Float](repeating: 0, count: 32 * 32)
    #expect(throws: FeedbackMetricError.empty) { try FeedbackMetric(gram: zeros.span, columns: 32) }
  }

  @Test func blocksFitTheMemory() {
    let whole = FeedbackMetric.peakBytes(columns: 4096)
    #expect(FeedbackMetric.blockColumns(columns: 4096, fitting: whole) == 4096)
    let cut = FeedbackMetric.blockColumns(columns: 4096, fitting: whole - 1)
    #expect(cut == 3840 && FeedbackMetric.peakBytes(columns: 4096, blockColumns: 3840) < whole)
    #expect(FeedbackMetric.blockColumns(columns: 4096, fitting: 1000) == nil)
  }
}
