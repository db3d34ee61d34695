import Synchronization
import Tensors
import Transformer

/// Sums squared activations of every matrix product of a forward pass.
///
///     let collector = ImportanceCollector()
///     _ = try pass.run(windows: windows, scored: 0..<0, observer: collector)
///     let importance = collector.matrix(datasets: ["text.txt"], chunkCount: windows.count, chunkSize: 512)
public final class ImportanceCollector: ForwardObserver {
  public let wantsAllExperts: Bool
  public let wantsOutput: Bool

  /// Tensors that share inputs share sums.
  private var accumulators: [[String]: Accumulator] = [:]

  private struct Accumulator {
    /// [matrices, columns]
    var sums: [Double]
    var counts: [Double]
  }

  /// - Parameters:
  ///   - output: also collect for the output head.
  ///   - allExperts: let every expert see every token, whatever the router says.
  public init(output: Bool = false, allExperts: Bool = false) {
    wantsOutput = output
    wantsAllExperts = allExperts
  }

  /// Goes on from sums that an interrupted run collected.
  public func resume(from matrix: ImportanceMatrix) {
    for (name, entry) in matrix.entries {
      accumulators[[name]] = Accumulator(sums: entry.sums.map(Double.init), counts: entry.counts.map(Double.init))
    }
  }

  public func observe(_ tensors: [String], inputs: Span<Float>, columns: Int, matrix: ObservedMatrix) throws {
    let tokens = inputs.count / columns
    var place = 0
    var matrices = 1
    var counts = 1
    switch matrix {
    case .whole: break
    case .expert(let index, of: let count): (place, matrices, counts) = (index, count, count)
    // Heads see the same tokens: one count for all of them, which is also the form of llama.cpp's files.
    case .head(let index, of: let count): (place, matrices) = (index, count)
    }
    var accumulator =
      accumulators.removeValue(forKey: tensors)
      ?? Accumulator(
        sums: [Double](repeating: 0, count: matrices * columns), counts: [Double](repeating: 0, count: counts))
    var sums = accumulator.sums.mutableSpan
    try addColumnSquares(of: inputs, columns: columns, to: &sums, at: place * columns)
    if counts > 1 {
      accumulator.counts[place] += Double(tokens)
    } else if place == 0 {
      accumulator.counts[0] += Double(tokens)
    }
    accumulators[tensors] = accumulator
  }

  /// What was collected so far.
  public func matrix(datasets: [String], chunkCount: Int, chunkSize: Int) -> ImportanceMatrix {
    var entries: [String: ImportanceMatrix.Entry] = [:]
    for (names, accumulator) in accumulators {
      let entry = ImportanceMatrix.Entry(
        sums: accumulator.sums.map(Float.init), counts: accumulator.counts.map(Float.init))
      for name in names { entries[name] = entry }
    }
    return ImportanceMatrix(entries: entries, datasets: datasets, chunkCount: chunkCount, chunkSize: chunkSize)
  }
}
