import ArgumentParser
import Blocks
import Fit
import GGUF
import Imatrix
import Perplexity
import Quantize
import Transformer

/// Options of error feedback.
struct FeedbackOptions: ParsableArguments {
  @Flag(
    inversion: .prefixedNo, exclusivity: .exclusive,
    help: ArgumentHelp(
      "Feed each weight's rounding error into the weights that are rounded after it, by the calibration text (default: "
        + "wherever the model and text allow it)."))
  var feedback: Bool?
  @Option(
    name: .long,
    help: ArgumentHelp(
      "How long error feedback searches: 1 feeds back alone, 2 chooses scales too, 3 (the default) rounds all blocks "
        + "again.", valueName: "1-3"))
  var effort: FeedbackEffort?
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Divide the layers into sections that do not make up for each other's errors, so that parts can be encoded "
        + "(default: 1). Models with experts have no need of it.", valueName: "count"))
  var feedbackSections: Int?
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Begin a part with the hidden states that `qtool imatrix --keep-states` has left in this folder, instead of running "
        + "the layers before it.", valueName: "folder"), completion: .directory)
  var states: String?
  @Flag(
    name: .long,
    help: "Write the importance that the pass of error feedback measures beside the output, as --target does.")
  var saveImatrix = false

  func validate() throws {
    if feedback == false, effort != nil { throw ValidationError("--effort contradicts --no-feedback") }
    if let feedbackSections {
      if feedback == false { throw ValidationError("--feedback-sections contradicts --no-feedback") }
      if feedbackSections < 1 { throw ValidationError("--feedback-sections must be at least 1") }
    }
    if states != nil, feedback != true { throw ValidationError("--states needs --feedback") }
    if feedback == false, saveImatrix { throw ValidationError("--save-imatrix contradicts --no-feedback") }
  }

  /// The error feedback of a run's files; nil for none. If feedback is not asked for and impossible, a note gives the reason.
  ///
  /// - Parameters:
  ///   - isWanted: whether to use feedback without an option.
  ///   - makesNothing: whether every tensor is copied.
  func input(
    for source: any ModelSource, _ weighing: WeighingOptions, isWanted: Bool, makesNothing: Bool, _ progress: Progress
  ) throws -> FitFeedback? {
    guard feedback ?? isWanted, !makesNothing else { return nil }
    if weighing.noImportance {
      guard feedback == true else { return nil }
      throw Failure(.usage, "--feedback contradicts --no-importance", hint: "leave one of them out")
    }
    if weighing.imatrix != nil, weighing.calibration.isEmpty, feedbackSections == nil {
      if feedback == true {
        throw Failure(
          .usage, "--feedback needs a text, and --imatrix alone has none", hint: "name a text with --calibration")
      }
      progress.note(
        "note: --imatrix alone has no text to feed errors back by: written without feedback; --calibration names one")
      return nil
    }
    do {
      return try measured(for: source, weighing, progress)
    } catch {
      guard feedback == nil, weighing.calibration.isEmpty, !(error is Interruption), let failure = Failure(error) else {
        throw error
      }
      progress.note("note: written without error feedback: \(failure.message)")
      return nil
    }
  }

  private func measured(
    for source: any ModelSource, _ weighing: WeighingOptions, _ progress: Progress
  ) throws -> FitFeedback {
    if let obstacle = try FitJob.obstacle(to: source) {
      var reason = "\(obstacle)"
      if case .unknownArchitecture(let name, _) = obstacle {
        reason = "there is no forward pass for architecture '\(name)'"
      }
      throw Failure(
        .data, "\(source.name): \(reason), so that errors can't be fed back",
        hint: "--no-feedback writes the file without")
    }
    let decoder = try Decoder(source)
    try Self.check(feedbackSections, decoder, of: source)
    if feedbackSections ?? 1 > 1, !decoder.runsPairs {
      progress.note("note: --feedback-sections changes nothing: the layers of this model are encoded independently")
    }
    let text = try weighing.text(for: source)
    progress.noteOnce(text.notes)
    return try FitFeedback(
      of: source, windows: try Self.windows(of: text, for: source), names: text.text.names, effort: effort ?? .descent,
      sections: feedbackSections ?? 1,
      wants: weighing.concerns)
  }

  /// Refuses more sections than layers.
  static func check(_ sections: Int?, _ decoder: Decoder, of source: any ModelSource) throws {
    guard let sections, sections > decoder.layerCount else { return }
    throw Failure(
      .usage, "--feedback-sections \(sections): \(source.name) has \(decoder.layerCount) layers",
      hint: "give at most that many")
  }

  /// The windows of a text by which errors are fed back.
  static func windows(of calibration: Calibration, for source: any ModelSource) throws -> ScoringWindows {
    do { return try FitFeedback.windows(of: calibration.text, for: source) } catch {
      guard case ScoringError.textTooShort = error, let failure = Failure(error) else { throw error }
      throw Failure(failure.code, failure.message, hint: "give more text with --calibration")
    }
  }
}

extension FeedbackEffort: ExpressibleByArgument {
  public init?(argument: String) {
    guard let number = Int(argument), let effort = Self(rawValue: number) else { return nil }
    self = effort
  }

  public var defaultValueDescription: String { "\(rawValue)" }
  public static var allValueStrings: [String] { allCases.map { "\($0.rawValue)" } }
}
