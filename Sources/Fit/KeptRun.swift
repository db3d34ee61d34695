import Files
import Tensors

/// Files of an unfinished run beside its output: a journal, `OUTPUT.journal`, and the snapshots that it names,
/// `OUTPUT.snapshot-…`. The same run continues from them.
public struct KeptRun {
  public let journal: RunJournal
  /// Prefix of all snapshot paths.
  public let path: String
  /// Seconds between two snapshots.
  public let seconds: Double

  /// - Throws: `OtherRun` if another run has left files under this name.
  public init(output: String, identity: RunIdentity, restart: Bool, seconds: Double = 600) throws {
    journal = try RunJournal(output: output, identity: identity, restart: restart)
    path = output + ".snapshot"
    self.seconds = seconds
  }

  /// Removes journal and snapshots, once the result is stored or nothing is worth keeping.
  private func finish() {
    PrefixedFiles(path + "-").remove()
    journal.remove()
  }

  /// Does the work, and decides which files remain after an error.
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
