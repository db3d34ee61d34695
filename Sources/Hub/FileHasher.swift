import Files
import Synchronization

/// The SHA-256 of a file that is read whole: its blocks come from the first to the last, in about that order.
///
/// A block that comes early waits for those before it. If too many wait, the file is not read from end to end, and there is
/// no digest.
final class FileHasher: Sendable {
  private struct State: ~Copyable {
    var digest = DataDigest()
    /// The index of the next block.
    var next = 0
    var waiting: [Int: [UInt8]] = [:]
    var isGivenUp = false
    var isDamaged = false
  }

  private let state = Mutex(State())
  private let blocks: Int
  private let expected: String
  private let maximumWaiting: Int

  /// - Parameters:
  ///   - blocks: the number of blocks of the file.
  ///   - expected: the digest that the hub names.
  ///   - maximumWaiting: blocks that are kept until those before them come.
  init(blocks: Int, expected: String, maximumWaiting: Int) {
    self.blocks = blocks
    self.expected = expected.lowercased()
    self.maximumWaiting = maximumWaiting
  }

  /// Adds a block.
  ///
  /// - Returns: whether the file's digest is the expected one, when its last block came; nil otherwise.
  func add(_ bytes: [UInt8], at index: Int) -> Bool? {
    state.withLock { state in
      guard !state.isGivenUp, index >= state.next else { return state.isDamaged ? false : nil }
      state.waiting[index] = bytes
      while let bytes = state.waiting.removeValue(forKey: state.next) {
        state.digest.update(bytes.span.bytes)
        state.next += 1
      }
      if state.next == blocks {
        state.isGivenUp = true
        state.isDamaged = state.digest.hex() != expected
        return !state.isDamaged
      }
      if state.waiting.count > maximumWaiting {
        state.isGivenUp = true
        state.waiting = [:]
      }
      return nil
    }
  }
}
