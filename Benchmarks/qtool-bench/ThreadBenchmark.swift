import Blocks
import Foundation
import Tensors

/// Measures the speed of encoding the rows of one large matrix with different numbers of threads.
struct ThreadBenchmark {
  /// A sample whose rows are repeated until there are enough.
  let sample: Sample
  let repetitions: Int

  init(_ sample: Sample, weights: Int, repetitions: Int) {
    var rows = sample.rows
    while rows.count < weights { rows += sample.rows }
    self.sample = Sample(name: sample.name, columns: sample.columns, rows: rows, importance: sample.importance)
    self.repetitions = repetitions
  }

  /// Elapsed seconds by number of threads, the minimum of alternating repetitions.
  func seconds(as type: GGMLType, threads: [Int]) throws -> [Double] {
    let before = Threads.count
    defer { Threads.count = before }
    var minimum = threads.map { _ in Double.infinity }
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
        minimum[index] = min(minimum[index], (ContinuousClock.now - start) / .seconds(1))
      }
    }
    return minimum
  }
}
