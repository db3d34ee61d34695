import ArgumentParser
import Files
import Fit

/// Options of the journal of a measuring run.
struct JournalOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Minutes between snapshots of the run; 0 for none.", valueName: "minutes"))
  var snapshotEvery = 10.0

  @Flag(name: .long, help: "Start over, ignoring the files of an interrupted run.") var restart = false

  /// Options of a run without a journal.
  static var none: JournalOptions {
    var options = JournalOptions()
    options.snapshotEvery = 0
    options.restart = false
    return options
  }

  func validate() throws {
    if !(snapshotEvery >= 0) { throw ValidationError("--snapshot-every must not be negative") }
  }

  /// - Throws: `OtherRun` if another run has left files under this name.
  func keptRun(output: String, identity: RunIdentity) throws -> KeptRun {
    try KeptRun(output: output, identity: identity, restart: restart, seconds: snapshotEvery * 60)
  }
}
