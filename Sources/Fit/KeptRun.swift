import Files
import Tensors

/// What a run keeps beside its output while it works: a journal, `OUTPUT.journal`, and the snapshots that it names,
/// `OUTPUT.snapshot-…`. The same run goes on from them.
public struct KeptRun {
  public let journal: RunJournal
  /// What the names of all snapshots begin with.
  public let path: String
  /// From one snapshot to the next.
  public let seconds: Double

  /// - Throws: `OtherRun` where something else was begun under this name.
  public init(output: String, identity: RunIdentity, restart: Bool, seconds: Double = 600) throws {
    journal = try RunJournal(output: output, identity: identity, restart: restart)
    path = output + ".snapshot"
    self.seconds = seconds
  }

  /// The result is stored, or nothing is worth keeping.
  public func finish() {
    PrefixedFiles(path + "-").remove()
    journal.remove()
  }

  /// Does the work, and decides what stays after an error.
  public func keeping<Result>(_ work: () throws -> Result) throws -> Result {
    do {
      let result = try work()
      finish()
      return result
    } catch {
      let isRequested = error is any StopRequest
      guard isRequested || RunJournal.isWorthKeeping(after: error), !PrefixedFiles(path + "-").paths.isEmpty else {
        finish()
        throw (error as? Paused)?.reason ?? error
      }
      throw isRequested ? Paused(reason: error) : error
    }
  }
}
