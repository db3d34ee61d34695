/// Tells a run how far it is, in operations.
final class WorkMeter {
  private let total: Double
  private var done: Double
  private let report: (Double) throws -> Void

  /// - Parameter done: the part that an interrupted run had done.
  init(total: Double, done: Double, _ report: @escaping (Double) throws -> Void) {
    self.total = max(total, 1)
    self.done = done * total
    self.report = report
  }

  func add(_ operations: Double) throws {
    done += operations
    try report(min(1, done / total))
  }
}
