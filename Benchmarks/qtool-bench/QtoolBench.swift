import ArgumentParser

/// Benchmarks of the encoders.
@main struct QtoolBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "qtool-bench", abstract: "Measure time and error of the encoders.",
    subcommands: [EncodersCommand.self, FeedbackCommand.self], defaultSubcommand: EncodersCommand.self)
}
