import Blocks
import Foundation
import Tensors

/// How much faster rows of one large matrix are encoded on all processors than on one.
struct ThreadBenchmark {
  /// Rows of a sample, again and again until there are enough.
  let sample: Sample
  let repetitions: Int

  init(_ sample: Sample, weights: Int, repetitions: Int) {
    var rows = sample.rows
    while rows.count < weights { rows += sample.rows }
    self.sample = Sample(name: sample.name, columns: sample.columns, rows: rows, importance: sample.importance)
    self.repetitions = repetitions
  }

  /// Elapsed seconds with each number of threads, the least of all repetitions in turns.
  func seconds(as type: GGMLType, threads: [Int]) throws -> [Double] {
    let before = Threads.count
    defer { Threads.count = before }
    var least = threads.map { _ in Double.infinity }
    var bytes = [UInt8](
      repeating: 0, count: (type.rowBytes(columns: sample.columns) ?? 0) * (sample.rows.count / sample.columns))
    for _ in 0..<max(1, repetitions) {
      for (index, count) in threads.enumerated() {
        Threads.count = count
        let start = ContinuousClock.now
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        if let importance = sample.importance {
          try encodeRowsInParallel(
            sample.rows.span, columns: sample.columns, importance: importance.span, as: type, into: &raw)
        } else {
          try encodeRowsInParallel(sample.rows.span, columns: sample.columns, importance: nil, as: type, into: &raw)
        }
        least[index] = min(least[index], (ContinuousClock.now - start) / .seconds(1))
      }
    }
    return least
  }
}
