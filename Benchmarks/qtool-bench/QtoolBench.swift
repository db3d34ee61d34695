import ArgumentParser

/// Benchmarks of the encoders, and of reading from the hub.
@main struct QtoolBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "qtool-bench", abstract: "Measure time and error of the encoders, and reading from the hub.",
    subcommands: [EncodersCommand.self, FeedbackCommand.self, HubCommand.self],
    defaultSubcommand: EncodersCommand.self)
}
