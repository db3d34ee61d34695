import Files
import GGUF
import Imatrix
import Tensors
import Transformer

/// Importance that is summed in the pass of error feedback, and stored with its snapshots.
final class PassImportance {
  let collector = ImportanceCollector()
  private let datasets: [String]
  private let journal: RunJournal?
  private let path: String

  /// - Parameter path: the beginning of the paths of the run's snapshots.
  init(_ datasets: [String], journal: RunJournal?, path: String) {
    (self.datasets, self.journal, self.path) = (datasets, journal, path)
  }

  private func key(_ layer: Int) -> String { "importance, layer \(layer)" }
  private func file(_ layer: Int) -> String { "\(path)-\(layer).sums.gguf" }

  func matrix(of windows: [[Int32]]) -> ImportanceMatrix {
    collector.matrix(datasets: datasets, chunkCount: windows.count, chunkSize: windows.first?.count ?? 0)
  }

  /// Writes the sums of all finished layers.
  func write(behind layer: Int, of windows: [[Int32]]) throws -> String? {
    guard let journal else { return nil }
    let matrix = matrix(of: windows)
    try matrix.write(gguf: file(layer), overwrite: true)
    try journal.record(key(layer), sha256: matrix.digest)
    return file(layer)
  }

  /// The sums of an earlier run behind a layer; nil where there are none, so that the pass has to begin again.
  func sums(behind layer: Int) -> ImportanceMatrix? {
    guard let digest = journal?.inherited[key(layer)], let sums = try? ImportanceMatrix(path: file(layer)),
      sums.digest == digest
    else { return nil }
    return sums
  }
}

/// Passes every input on to two observers.
final class ObserverPair: ForwardObserver {
  private let first: any ForwardObserver
  private let second: any ForwardObserver

  init(_ first: any ForwardObserver, _ second: any ForwardObserver) { (self.first, self.second) = (first, second) }

  var wantsOutput: Bool { first.wantsOutput }
  var workBytes: Int { first.workBytes + second.workBytes }

  func observe(_ tensors: [String], inputs: Span<Float>, columns: Int, matrix: ObservedMatrix) throws {
    try first.observe(tensors, inputs: inputs, columns: columns, matrix: matrix)
    // The head has no importance, as in other matrices.
    if TensorName(tensors[0]).layer != nil {
      try second.observe(tensors, inputs: inputs, columns: columns, matrix: matrix)
    }
  }
}

/// Passes every input on to an observer of two streams, and that of the exact stream to another observer.
final class PairedObservers: PairObserver {
  private let pair: any PairObserver
  private let exact: any ForwardObserver

  init(_ pair: any PairObserver, _ exact: any ForwardObserver) { (self.pair, self.exact) = (pair, exact) }

  var workBytes: Int { pair.workBytes + exact.workBytes }

  func observe(_ tensors: [String], exact x: Span<Float>, rounded: Span<Float>, columns: Int) throws {
    try pair.observe(tensors, exact: x, rounded: rounded, columns: columns)
    if TensorName(tensors[0]).layer != nil {
      try exact.observe(tensors, inputs: x, columns: columns, matrix: .whole)
    }
  }

  func observe(
    residualOf tensor: String, exact: Span<Float>, rounded: Span<Float>, width: Int, inputs: Span<Float>
  ) throws {
    try pair.observe(residualOf: tensor, exact: exact, rounded: rounded, width: width, inputs: inputs)
  }

  func end(_ tensors: [String]) throws { try pair.end(tensors) }
}
