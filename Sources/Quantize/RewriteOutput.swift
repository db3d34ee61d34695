import Dispatch
import Files
import GGUF
import Synchronization

/// What takes encoded rows to the disk, on a thread of its own, while the next ones are read and encoded.
///
/// Everything happens in the order of the calls. After a failure nothing more is done, and the next call throws it.
///
/// Unchecked: the writer, the journal, the digest and the sums belong to the queue until ``finish()`` has waited for it.
final class RewriteOutput: @unchecked Sendable {
  /// Blocks that wait for the disk at most: with them, memory is bounded.
  private static let waiting = 2

  private let writer: GGUFWriter
  private let journal: RunJournal?
  private let keepsSums: Bool
  private let queue = DispatchQueue(label: "rewriting")
  private let room = DispatchSemaphore(value: waiting)
  private let failure = Mutex<(any Error)?>(nil)
  private var digest = DataDigest()
  private var sums = TensorChecksums()

  init(_ writer: GGUFWriter, _ journal: RunJournal?, keepsSums: Bool) {
    self.writer = writer
    self.journal = journal
    self.keepsSums = keepsSums || journal != nil
  }

  /// Rows of a tensor, which follow those of the last call.
  func write(_ bytes: [UInt8], tensor index: Int, row: Int) throws {
    try enqueue { [self] in
      if keepsSums { digest.update(bytes.span.bytes) }
      try writer.write(bytes.span.bytes, tensor: index, row: row)
    }
  }

  /// All rows of a tensor were given: when they are written, `check` looks at them, and the journal names the tensor.
  func end(_ name: String, check: @escaping @Sendable (GGUFWriter) throws -> Void) throws {
    try enqueue { [self] in
      try check(writer)
      guard keepsSums else { return }
      let sum = digest.hex()
      digest = DataDigest()
      sums.add(sum, for: name)
      try journal?.record(name, sha256: sum)
    }
  }

  /// Rows of a tensor in any order; ``end(_:placed:check:)`` follows the last.
  func place(_ bytes: [UInt8], tensor index: Int, row: Int) throws {
    try enqueue { [self] in try writer.write(bytes.span.bytes, tensor: index, row: row) }
  }

  /// The same as ``end(_:check:)`` for a tensor whose rows came in any order: its digest is that of what the file holds.
  func end(_ name: String, placed index: Int, check: @escaping @Sendable (GGUFWriter) throws -> Void) throws {
    try enqueue { [self] in
      try check(writer)
      guard keepsSums else { return }
      let sum = try writer.digest(tensor: index)
      sums.add(sum, for: name)
      try journal?.record(name, sha256: sum)
    }
  }

  /// A tensor that an earlier run has written.
  func add(_ sum: String, for name: String) throws {
    try enqueue { [self] in sums.add(sum, for: name) }
  }

  /// Waits until everything is written.
  func finish() throws -> TensorChecksums {
    queue.sync {}
    if let error = failure.withLock({ $0 }) { throw error }
    return sums
  }

  private func enqueue(_ work: @escaping @Sendable () throws -> Void) throws {
    room.wait()
    if let error = failure.withLock({ $0 }) {
      room.signal()
      throw error
    }
    queue.async { [self] in
      defer { room.signal() }
      guard failure.withLock({ $0 == nil }) else { return }
      do { try work() } catch { failure.withLock { $0 = error } }
    }
  }
}
