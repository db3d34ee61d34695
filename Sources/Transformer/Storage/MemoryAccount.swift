import Synchronization

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

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
    return spare?.base ?? Self.map(count)
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
      unmap(spare.base, count)
    }
  }

  /// Large pieces come from the system and go back to it: an allocator would keep what lies between others in use, which
  /// made up half of a small budget.
  private static func map(_ count: Int) -> UnsafeMutablePointer<Float> {
    guard count >= leastMapped else { return fresh(count) }
    let raw = mmap(nil, count * 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let raw, raw != MAP_FAILED else { preconditionFailure("the system has no memory for \(count) floats") }
    return raw.bindMemory(to: Float.self, capacity: count)
  }

  private static func unmap(_ base: UnsafeMutablePointer<Float>, _ count: Int) {
    if count >= leastMapped { munmap(base, count * 4) } else { base.deallocate() }
  }

  private static let leastMapped = 1 << 18

  static func fresh(_ count: Int) -> UnsafeMutablePointer<Float> {
    let raw = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
    return raw.bindMemory(to: Float.self, capacity: max(count, 1))
  }
}
