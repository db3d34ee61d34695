import GGUF
import Synchronization

/// The removal of a model's files while it is written: each is removed when all outputs hold all tensors that are read from
/// it, synced to the disk and verified.
///
/// Until the outputs are complete, their temporary files and journals are then the only copies, and are kept whatever
/// happens.
public final class SourceRemoval: Sendable {
  private struct State {
    /// The outputs that hold all tensors of a file.
    var holders: [String: Set<String>] = [:]
    var removed: Set<String>
  }

  private let source: any DividedSource
  private let outputs: Int
  /// Indices of the tensors that are read from each file.
  private let tensors: [String: Set<Int>]
  private let state: Mutex<State>
  private let report: @Sendable (_ file: String) -> Void

  /// - Parameters:
  ///   - source: the model; outputs have its tensors in its order.
  ///   - outputs: the number of files that are made of it.
  ///   - report: is told of each file that was removed.
  public init(
    of source: any DividedSource, outputs: Int, report: @escaping @Sendable (_ file: String) -> Void = { _ in }
  ) {
    self.source = source
    self.outputs = outputs
    self.report = report
    var tensors: [String: Set<Int>] = [:]
    for (index, tensor) in source.tensors.enumerated() {
      for file in source.files(of: tensor) { tensors[file, default: []].insert(index) }
    }
    self.tensors = tensors
    state = Mutex(State(removed: source.removedFiles))
  }

  /// Whether some tensors are in the outputs alone.
  public var hasBegun: Bool { state.withLock { !$0.removed.isEmpty } }

  /// Tensors of files of which an output holds all, where it did not before; empty if there are none.
  func isDue(_ output: String, with complete: Set<Int>) -> [String: Set<Int>] {
    state.withLock { state in
      tensors.filter { file, indices in
        state.holders[file]?.contains(output) != true && indices.isSubset(of: complete)
      }
    }
  }

  /// Notes that an output holds all tensors of a file, and removes the file if it is the last output.
  func hold(_ file: String, by output: String) throws {
    let isLast = state.withLock { state in
      state.holders[file, default: []].insert(output)
      return state.holders[file]?.count == outputs && !state.removed.contains(file)
    }
    guard isLast else { return }
    // From here on, a failure must not cost what is written.
    state.withLock { _ = $0.removed.insert(file) }
    try source.remove(file)
    report(file)
  }

  /// Removes the remaining files, and what was recorded of the others, when all outputs are complete.
  public func end() throws { try source.removeRemaining() }

  /// The largest number of bytes that outputs take before the files that free them are removed, if tensors are written in
  /// their order.
  ///
  /// - Parameter bytes: of each tensor in all outputs.
  func peak(_ bytes: [Int], sizes: (_ file: String) -> Int) -> Int {
    let last = Dictionary(grouping: tensors.compactMap { file, all in all.max().map { (file, $0) } }, by: \.1)
    let removed = state.withLock { $0.removed }
    var (sum, peak) = (0, 0)
    for (index, count) in bytes.enumerated() {
      sum += count
      peak = max(peak, sum)
      for (file, _) in last[index] ?? [] where !removed.contains(file) { sum -= sizes(file) }
    }
    return peak
  }
}
