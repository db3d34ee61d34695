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
  /// made up half of a small budget. The largest lie in pages of 2 MiB where the system has them: a product goes through
  /// rows that lie pages apart.
  ///
  /// - Parameter least: floats that are taken from the system at least.
  static func map(_ count: Int, least: Int = leastMapped) -> UnsafeMutablePointer<Float> {
    guard count >= least else { return fresh(count) }
    let bytes = count * 4
    let page = bytes >= 2 * hugePage ? hugePage : 0
    let raw = mmap(nil, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard var raw, raw != MAP_FAILED else { preconditionFailure("the system has no memory for \(count) floats") }
    if page > 0 {
      // What lies before the first whole page goes back, and what follows the last.
      let before = (page - Int(bitPattern: raw) % page) % page
      if before > 0 { munmap(raw, before) }
      raw += before
      let end = (bytes + smallPage - 1) / smallPage * smallPage
      if page > before + end - bytes { munmap(raw + end, page - before - (end - bytes)) }
      #if canImport(Glibc)
        madvise(raw, bytes, MADV_HUGEPAGE)
      #endif
    }
    return raw.bindMemory(to: Float.self, capacity: count)
  }

  static func unmap(_ base: UnsafeMutablePointer<Float>, _ count: Int, least: Int = leastMapped) {
    if count >= least { munmap(base, count * 4) } else { free(base) }
  }

  private static let leastMapped = 1 << 15
  private static let hugePage = 2 << 20
  private static let smallPage = max(4096, sysconf(Int32(_SC_PAGESIZE)))

  /// Aligned by hand: glibc's posix_memalign does not find the place of an earlier piece of the same size again once
  /// anything small lies beside it, and a long run grew to three times a small budget.
  private static func fresh(_ count: Int) -> UnsafeMutablePointer<Float> {
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: max(count, 1) * 4 + line + MemoryLayout<UnsafeMutableRawPointer>.size, alignment: 16)
    let base = (raw + MemoryLayout<UnsafeMutableRawPointer>.size).alignedUp(toMultipleOf: line)
    (base - MemoryLayout<UnsafeMutableRawPointer>.size).storeBytes(of: raw, as: UnsafeMutableRawPointer.self)
    return base.bindMemory(to: Float.self, capacity: max(count, 1))
  }

  private static func free(_ base: UnsafeMutablePointer<Float>) {
    (UnsafeMutableRawPointer(base) - MemoryLayout<UnsafeMutableRawPointer>.size)
      .load(as: UnsafeMutableRawPointer.self).deallocate()
  }

  /// Of the caches.
  private static let line = 64
}
