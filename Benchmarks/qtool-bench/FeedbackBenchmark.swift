import Blocks
import Foundation
import Tensors

/// Measures encoding with error feedback in one thread, for one number of columns.
struct FeedbackBenchmark {
  let columns: Int
  let repetitions: Int
  /// CPU seconds, on all threads, of damping and factoring the Gram matrix.
  let factorSeconds: Double
  private let rows: [Float]
  private let metric: FeedbackMetric

  init(columns: Int, weights: Int, repetitions: Int) throws {
    self.columns = columns
    self.repetitions = repetitions
    var random = SplitMix(seed: UInt64(columns))
    let gram = Self.gram(columns, &random)
    let start = Self.processSeconds()
    metric = try FeedbackMetric(gram: gram.span, columns: columns)
    factorSeconds = Self.processSeconds() - start
    // Whole batches of rows.
    let count = max(1, weights / columns / Self.batch) * Self.batch
    rows = (0..<count * columns).map { _ in 0.02 * random.normal() }
  }

  /// Rows that the encoder takes at a time.
  private static let batch = 32

  /// H = S (I + V Vᵀ) S with 16 common directions V, and lognormal sizes S of the inputs.
  private static func gram(_ columns: Int, _ random: inout SplitMix) -> [Float] {
    let directions = (0..<columns).map { _ in SIMD16<Float>((0..<16).map { _ in random.normal() }) }
    let sizes = (0..<columns).map { _ in exp(0.5 * random.normal()) }
    return [Float](unsafeUninitializedCapacity: columns * columns) { buffer, count in
      for row in 0..<columns {
        for column in 0..<columns {
          let common = (directions[row] * directions[column]).sum()
          buffer[row * columns + column] = sizes[row] * sizes[column] * (common + (row == column ? 1 : 0))
        }
      }
      count = columns * columns
    }
  }

  /// Minimum CPU seconds of the calling thread for one weight.
  func seconds(as type: GGMLType, _ effort: FeedbackEffort) throws -> Double? {
    guard let rowBytes = type.rowBytes(columns: columns) else { return nil }
    var bytes = [UInt8](repeating: 0, count: rows.count / columns * rowBytes)
    let importance = [Float](repeating: 1, count: columns)
    var best = Double.infinity
    for _ in 0..<max(1, repetitions) {
      let start = EncoderBenchmark.threadSeconds()
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      try encodeRows(
        rows.span, columns: columns, metric: metric, importance: importance.span, as: type, effort: effort, into: &raw)
      best = min(best, EncoderBenchmark.threadSeconds() - start)
    }
    return best / Double(rows.count)
  }

  private static func processSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}

/// Microseconds for one weight, by type, columns and effort.
struct FeedbackTable {
  let types: [GGMLType]
  let efforts: [FeedbackEffort]
  let columns: [Int]
  /// By type, then by number of columns: the efforts.
  var seconds: [GGMLType: [Double?]] = [:]
  var factorSeconds: [Double] = []

  var markdown: String {
    let heads = columns.flatMap { width in efforts.map { "\(width), effort \($0.rawValue)" } }
    var lines = [
      "| Type | \(heads.joined(separator: " | ")) |", "|---|" + String(repeating: "--:|", count: heads.count),
    ]
    for type in types {
      let cells = seconds[type, default: []].map { $0.map { String(format: "%.2f", $0 * 1e6) } ?? "-" }
      lines.append("| \(type.name) | " + cells.joined(separator: " | ") + " |")
    }
    let factors = zip(columns, factorSeconds).map { String(format: "%.2f s for %d columns", $1, $0) }
    return lines.joined(separator: "\n") + "\n\nDamping and factoring once for an input: "
      + factors.joined(separator: ", ") + "."
  }
}

extension SplitMix {
  /// A normal number, by Box and Muller's formula.
  fileprivate mutating func normal() -> Float {
    let (radius, angle) = (1 - fraction(), fraction())
    return Float((-2 * log(radius)).squareRoot() * cos(2 * .pi * angle))
  }
}
