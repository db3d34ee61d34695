/// Why a file of tasks can't be scored: the file, the task (counted from 1), and the reason.
public struct TaskError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file.
  public let path: String
  /// The task's number in the file; nil where the file as a whole is meant.
  public let task: Int?
  /// The fault, as the end of a sentence about the task.
  public let reason: String
  /// Advice for a person; nil where there is none.
  public let hint: String?

  /// A fault of a file of tasks.
  public init(path: String, task: Int? = nil, _ reason: String, hint: String? = nil) {
    self.path = path
    self.task = task
    self.reason = reason
    self.hint = hint
  }

  /// One line that names file and task.
  public var description: String { task.map { "\(path): task \($0): \(reason)" } ?? "\(path): \(reason)" }
}
