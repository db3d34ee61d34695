import Synchronization
import Tensors
import Transformer

/// Sums the squared activations of every matrix product of a forward pass.
///
///     let collector = ImportanceCollector()
///     _ = try pass.run(windows: windows, scored: 0..<0, observer: collector)
///     let importance = collector.matrix(datasets: ["text.txt"], chunkCount: windows.count, chunkSize: 512)
package final class ImportanceCollector: ForwardObserver {
  package let wantsAllExperts: Bool
  package let wantsOutput: Bool

  /// Sums by tensor names; tensors with the same input share sums.
  private var accumulators: [[String]: Accumulator] = [:]

  private struct Accumulator {
    /// [matrices, columns]
    var sums: [Double]
    var counts: [Double]
  }

  /// - Parameters:
  ///   - output: whether to collect for the output head too.
  ///   - allExperts: whether every expert processes every token, regardless of the router.
  package init(output: Bool = false, allExperts: Bool = false) {
    wantsOutput = output
    wantsAllExperts = allExperts
  }

  /// Continues with the sums of an interrupted run.
  package func resume(from matrix: ImportanceMatrix) {
    for (name, entry) in matrix.entries {
      accumulators[[name]] = Accumulator(sums: entry.sums.map(Double.init), counts: entry.counts.map(Double.init))
    }
  }

  package func observe(_ tensors: [String], inputs: Span<Float>, columns: Int, matrix: ObservedMatrix) throws {
    let tokens = inputs.count / columns
    var slot = 0
    var matrices = 1
    var counts = 1
    switch matrix {
    case .whole: break
    case .expert(let index, of: let count): (slot, matrices, counts) = (index, count, count)
    // All heads process the same tokens, so they have one count, as in llama.cpp's files.
    case .head(let index, of: let count): (slot, matrices) = (index, count)
    }
    var accumulator =
      accumulators.removeValue(forKey: tensors)
      ?? Accumulator(
        sums: [Double](repeating: 0, count: matrices * columns), counts: [Double](repeating: 0, count: counts))
    var sums = accumulator.sums.mutableSpan
    try addColumnSquares(of: inputs, columns: columns, to: &sums, at: slot * columns)
    if counts > 1 {
      accumulator.counts[slot] += Double(tokens)
    } else if slot == 0 {
      accumulator.counts[0] += Double(tokens)
    }
    accumulators[tensors] = accumulator
  }

  /// The importance of the tokens processed so far.
  package func matrix(datasets: [String], chunkCount: Int, chunkSize: Int) -> ImportanceMatrix {
    var entries: [String: ImportanceMatrix.Entry] = [:]
    for (names, accumulator) in accumulators {
      let entry = ImportanceMatrix.Entry(
        sums: accumulator.sums.map(Float.init), counts: accumulator.counts.map(Float.init))
      for name in names { entries[name] = entry }
    }
    return ImportanceMatrix(entries: entries, datasets: datasets, chunkCount: chunkCount, chunkSize: chunkSize)
  }
}
