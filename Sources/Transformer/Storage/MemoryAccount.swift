import Synchronization
import Tensors

/// The memory of activations: counts bytes in use against a limit, and caches freed memory for matrices of the same
/// size. Layers allocate the same sizes again and again, and fresh pages cost as much as filling them.
final class MemoryAccount: Sendable {
  /// Bytes.
  let limit: Int
  private let state = Mutex(State())

  private struct State {
    var used = 0
    var spareBytes = 0
    /// Freed memory by its number of floats.
    var spare: [Int: [Spare]] = [:]
  }

  /// The maximum number of cached bytes, about those of a layer of a model of several billion parameters.
  private static let spareMaximum = 256 << 20

  private struct Spare: @unchecked Sendable {
    let base: UnsafeMutablePointer<Float>
  }

  init(limit: Int) { self.limit = limit }

  deinit { state.withLock { Self.release(&$0, downTo: 0) } }

  /// Whether `bytes` more bytes are within the limit.
  func admits(_ bytes: Int) -> Bool {
    state.withLock { state in
      let (sum, overflow) = state.used.addingReportingOverflow(bytes)
      return !overflow && sum <= limit
    }
  }

  /// Memory for `count` floats, uninitialised.
  func allocate(_ count: Int) -> UnsafeMutablePointer<Float> {
    let spare: Spare? = state.withLock { state in
      state.used += count * 4
      if let spare = state.spare[count]?.popLast() {
        state.spareBytes -= count * 4
        return spare
      }
      Self.release(&state, downTo: min(Self.spareMaximum, max(0, limit - state.used)))
      return nil
    }
    return spare?.base ?? FloatMemory.allocate(count)
  }

  /// Takes memory of `count` floats back.
  func give(back base: UnsafeMutablePointer<Float>, _ count: Int) {
    let spare = Spare(base: base)
    state.withLock { state in
      state.used -= count * 4
      state.spareBytes += count * 4
      state.spare[count, default: []].append(spare)
      Self.release(&state, downTo: min(Self.spareMaximum, max(0, limit - state.used)))
    }
  }

  /// Frees cached memory until at most `bytes` bytes remain.
  private static func release(_ state: inout State, downTo bytes: Int) {
    while state.spareBytes > bytes, let count = state.spare.keys.max() {
      guard let spare = state.spare[count]?.popLast() else {
        state.spare[count] = nil
        continue
      }
      state.spareBytes -= count * 4
      FloatMemory.free(spare.base, count)
    }
  }
}
