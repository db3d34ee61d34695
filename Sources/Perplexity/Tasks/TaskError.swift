/// Why a file of tasks can't be scored: the file, the task (counted from 1), and the reason.
public struct TaskError: Error, Equatable, Sendable, CustomStringConvertible {
  public let path: String
  public let task: Int?
  public let reason: String
  public let hint: String?

  public init(path: String, task: Int? = nil, _ reason: String, hint: String? = nil) {
    self.path = path
    self.task = task
    self.reason = reason
    self.hint = hint
  }

  public var description: String { task.map { "\(path): task \($0): \(reason)" } ?? "\(path): \(reason)" }
}
