import ArgumentParser
import Files

/// What a command keeps beside its output while it works: a journal, `OUTPUT.journal`, and the snapshots that it names,
/// `OUTPUT.snapshot-…`. The same command goes on from them.
struct KeptRun {
  let journal: RunJournal
  /// What the names of all snapshots begin with.
  let path: String
  /// From one snapshot to the next.
  let seconds: Double

  /// - Throws: `OtherRun` where something else was begun under this name.
  init(output: String, identity: RunIdentity, _ options: JournalOptions) throws {
    journal = try RunJournal(output: output, identity: identity, restart: options.restart)
    path = output + ".snapshot"
    seconds = options.snapshotEvery * 60
  }

  /// The result is stored, or nothing is worth keeping.
  func finish() {
    PrefixedFiles(path + "-").remove()
    journal.remove()
  }

  /// Does the work, and decides what stays after an error.
  func keeping<Result>(_ work: () throws -> Result) throws -> Result {
    do {
      let result = try work()
      finish()
      return result
    } catch {
      let isInterrupted = error is Interruption
      guard isInterrupted || RunJournal.isWorthKeeping(after: error), !PrefixedFiles(path + "-").paths.isEmpty else {
        finish()
        throw (error as? Paused)?.reason ?? error
      }
      throw isInterrupted ? Paused(reason: error) : error
    }
  }
}

/// How a long run without an output of gigabytes is kept.
struct JournalOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Minutes between snapshots that a run goes on from; 0 for none.", valueName: "minutes"))
  var snapshotEvery = 10.0

  @Flag(name: .long, help: "Begin anew, whatever an interrupted run has left.") var restart = false

  init() {}

  init(restart: Bool) {
    snapshotEvery = 10
    self.restart = restart
  }

  func validate() throws {
    if !(snapshotEvery >= 0) { throw ValidationError("--snapshot-every is 0 or more") }
  }
}
