import Dispatch
import Files
import GGUF
import Synchronization

/// Writes encoded rows on a separate thread, while the next rows are read and encoded.
///
/// Calls are executed in order. After a failure, no further call is executed, and the next call throws the error.
///
/// Unchecked: only the queue uses writer, journal, digest and sums, until ``finish()`` has waited for it. During a write,
/// only the other queue uses the digest, and the write waits for it.
final class RewriteOutput: @unchecked Sendable {
  /// The maximum number of pending writes, which bounds memory.
  private static let maximumPending = 2

  private let writer: any TensorWriter
  private let journal: RunJournal?
  private let keepsSums: Bool
  private let queue = DispatchQueue(label: "rewriting")
  /// Digests the bytes that the first queue is writing: either takes about as long.
  private let digesting = DispatchQueue(label: "digesting")
  private let room = DispatchSemaphore(value: maximumPending)
  private let failure = Mutex<(any Error)?>(nil)
  private var digest = DataDigest()
  private var sums = TensorChecksums()

  init(_ writer: any TensorWriter, _ journal: RunJournal?, keepsSums: Bool) {
    self.writer = writer
    self.journal = journal
    self.keepsSums = keepsSums || journal != nil
  }

  /// Writes rows of a tensor, which follow those of the last call.
  func write(_ bytes: [UInt8], tensor index: Int, row: Int) throws {
    try enqueue { [self] in
      if keepsSums { digesting.async { [self] in digest.update(bytes.span.bytes) } }
      // Nothing of the call remains, so that the journal is closed with its last owner.
      defer { digesting.sync {} }
      try writer.write(bytes.span.bytes, tensor: index, row: row)
    }
  }

  /// Ends a tensor: after its rows are written, calls `check` and records the tensor in the journal.
  func end(_ name: String, check: @escaping @Sendable (any TensorWriter) throws -> Void) throws {
    try enqueue { [self] in
      try check(writer)
      guard keepsSums else { return }
      let sum = digest.hex()
      digest = DataDigest()
      sums.add(sum, for: name)
      try journal?.record(name, sha256: sum)
    }
  }

  /// Writes rows of a tensor in any order. ``end(_:placed:check:)`` must follow the last rows.
  func place(_ bytes: [UInt8], tensor index: Int, row: Int) throws {
    try enqueue { [self] in try writer.write(bytes.span.bytes, tensor: index, row: row) }
  }

  /// Ends a tensor whose rows were written in any order. Its digest is computed from the file.
  func end(_ name: String, placed index: Int, check: @escaping @Sendable (any TensorWriter) throws -> Void) throws {
    try enqueue { [self] in
      try check(writer)
      guard keepsSums else { return }
      let sum = try writer.digest(tensor: index)
      sums.add(sum, for: name)
      try journal?.record(name, sha256: sum)
    }
  }

  /// Adds a tensor that an earlier run has written.
  func add(_ sum: String, for name: String) throws {
    try enqueue { [self] in sums.add(sum, for: name) }
  }

  /// Waits until all rows are written.
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
