import ArgumentParser
import Files
import Fit

/// How a long run without an output of gigabytes is kept.
struct JournalOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Minutes between snapshots that a run goes on from; 0 for none.", valueName: "minutes"))
  var snapshotEvery = 10.0

  @Flag(name: .long, help: "Begin anew, whatever an interrupted run has left.") var restart = false

  func validate() throws {
    if !(snapshotEvery >= 0) { throw ValidationError("--snapshot-every is 0 or more") }
  }

  /// - Throws: `OtherRun` where something else was begun under this name.
  func keptRun(output: String, identity: RunIdentity) throws -> KeptRun {
    try KeptRun(output: output, identity: identity, restart: restart, seconds: snapshotEvery * 60)
  }
}
