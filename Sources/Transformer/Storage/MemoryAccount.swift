import Synchronization
import Tensors

/// The memory of activations: counts what is in use against the share of the budget that it may take, and keeps what
/// was given back for the next matrix of the same size, since layers ask for the same sizes again and again and fresh
/// pages cost as much as filling them.
final class MemoryAccount: Sendable {
  let limit: Int
  private let state = Mutex(State())

  private struct State {
    var used = 0
    var kept = 0
    var spare: [Int: [Spare]] = [:]
  }

  /// What one layer of a model of some billion parameters gives back.
  private static let mostSpare = 256 << 20

  private struct Spare: @unchecked Sendable {
    let base: UnsafeMutablePointer<Float>
  }

  init(limit: Int) { self.limit = limit }

  deinit { state.withLock { Self.release(&$0, downTo: 0) } }

  /// Whether that many bytes more stay within the limit.
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
        state.kept -= count * 4
        return spare
      }
      Self.release(&state, downTo: min(Self.mostSpare, max(0, limit - state.used)))
      return nil
    }
    return spare?.base ?? FloatMemory.allocate(count)
  }

  func give(back base: UnsafeMutablePointer<Float>, _ count: Int) {
    let spare = Spare(base: base)
    state.withLock { state in
      state.used -= count * 4
      state.kept += count * 4
      state.spare[count, default: []].append(spare)
      Self.release(&state, downTo: min(Self.mostSpare, max(0, limit - state.used)))
    }
  }

  /// Frees spare memory until at most `bytes` of it are left.
  private static func release(_ state: inout State, downTo bytes: Int) {
    while state.kept > bytes, let count = state.spare.keys.max() {
      guard let spare = state.spare[count]?.popLast() else {
        state.spare[count] = nil
        continue
      }
      state.kept -= count * 4
      FloatMemory.free(spare.base, count)
    }
  }
}
