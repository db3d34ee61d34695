import Synchronization

/// Counts the bytes of activations that are resident, against the share of the budget that they may take.
final class MemoryAccount: Sendable {
  let limit: Int
  private let used = Atomic<Int>(0)
  private let most = Atomic<Int>(0)

  init(limit: Int) { self.limit = limit }

  func add(_ bytes: Int) {
    let now = used.add(bytes, ordering: .relaxed).newValue
    most.max(now, ordering: .relaxed)
  }

  func admits(_ bytes: Int) -> Bool {
    let (sum, overflow) = used.load(ordering: .relaxed).addingReportingOverflow(bytes)
    return !overflow && sum <= limit
  }

  var peak: Int { most.load(ordering: .relaxed) }
}
