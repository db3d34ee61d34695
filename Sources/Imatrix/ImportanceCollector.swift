import GGUF
import Tensors
import Transformer

/// Sums the squared activations of every matrix product of a forward pass.
///
///     let collector = ImportanceCollector()
///     _ = try pass.run(windows: windows, scored: 0..<0, observer: collector)
///     let importance = collector.matrix(datasets: ["text.txt"], chunkCount: windows.count, chunkSize: 512)
///
/// Sums of finished layers are kept in single precision, unless they are to be added to those of other texts.
package final class ImportanceCollector: ForwardObserver {
  package let wantsAllExperts: Bool
  package let wantsOutput: Bool
  private let keepsExactSums: Bool

  /// Sums of the current layer, or of all layers that are kept exactly.
  private var open = ImportanceSums()
  private var layer: Int?
  /// Entries of finished layers.
  private var finished: [String: ImportanceMatrix.Entry] = [:]

  /// - Parameters:
  ///   - output: whether to collect for the output head too.
  ///   - allExperts: whether every expert processes every token, regardless of the router.
  ///   - exact: whether ``sums`` keeps all layers.
  package init(output: Bool = false, allExperts: Bool = false, exact: Bool = false) {
    wantsOutput = output
    wantsAllExperts = allExperts
    keepsExactSums = exact
  }

  package var finishedBytesPerColumn: Int { keepsExactSums ? 16 : 4 }

  /// The exact sums of all tokens so far. Only a collector of exact sums has those of all layers.
  package var sums: ImportanceSums { open }

  /// Continues with the sums of an interrupted run.
  package func resume(from matrix: ImportanceMatrix) { finished = matrix.entries }

  /// Continues with the exact sums of an interrupted run.
  func resume(from sums: ImportanceSums) { open = sums }

  private func close() {
    guard !keepsExactSums else { return }
    finished.merge(open.entries) { $1 }
    open = ImportanceSums()
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
    let current = tensors.first.flatMap { TensorName($0).layer }
    if current != layer { close() }
    layer = current
    try open.update(tensors, count: matrices * columns, counts: counts) { entry in
      try addColumnSquares(of: inputs, columns: columns, to: &entry.sums, at: slot * columns)
      if counts > 1 || slot == 0 { entry.counts[counts > 1 ? slot : 0] += Double(tokens) }
    }
  }

  /// The importance of the tokens processed so far.
  package func matrix(datasets: [String], chunkCount: Int, chunkSize: Int) -> ImportanceMatrix {
    ImportanceMatrix(
      entries: finished.merging(open.entries) { $1 }, datasets: datasets, chunkCount: chunkCount, chunkSize: chunkSize)
  }
}
