import ArgumentParser
import Checkpoint
import Files
import GGUF
import Tokenizers

/// Options for a Hugging Face directory whose tokenizer or configuration is out of the ordinary.
struct SplitterOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The splitter that a directory's tokenizer.json equals, as llama.cpp names it, where its structure is unknown.",
      valueName: "name"))
  var pre: String?

  @OptionGroup var config: ConfigOptions

  /// Opens a model and says, unless `progress` is quiet, how a directory was read where its files leave that open.
  func open(_ path: String, _ progress: Progress = Progress(quiet: false)) throws -> any ModelSource {
    try open(path, ignoring: config.ignored, progress: progress)
  }

  /// Opens one of several models: GGUF files among them name their splitters themselves, and each directory has keys of
  /// its own to ignore.
  func openAmongOthers(
    _ path: String, _ progress: Progress = Progress(quiet: false)
  ) throws -> any ModelSource {
    guard ModelLocation.isCheckpoint(path) else { return try openModel(path: path) }
    let ignorable = config.ignored.isEmpty ? [] : try ConfigReview.ignorableKeys(path: path)
    return try open(path, ignoring: config.ignored.filter { Self.names($0, ignorable) }, progress: progress)
  }

  /// Refuses a key that none of several models gives a reason to ignore.
  func check(_ paths: [String]) throws {
    guard !config.ignored.isEmpty else { return }
    let ignorable = try paths.filter(ModelLocation.isCheckpoint).flatMap(ConfigReview.ignorableKeys)
    for key in config.ignored where !Self.names(key, ignorable) {
      throw UnneededIgnoring(path: paths.joined(separator: ", "), key: key, refused: ignorable)
    }
  }

  /// True where a key, or the object that holds it, is meant.
  private static func names(_ key: String, _ ignorable: [String]) -> Bool {
    ignorable.contains { $0 == key || $0.hasPrefix(key + ".") }
  }

  private func open(_ path: String, ignoring: [String], progress: Progress) throws -> any ModelSource {
    do {
      let model = try openModel(path: path, pre: pre, ignoring: ignoring)
      for note in model.openingNotes { progress.note("note: \(note)") }
      return model
    } catch let error as FormatError {
      switch (error.topic, pre) {
      case (.needlessSplitter, _?): throw Failure(.usage, "\(error.path): --pre: \(error.reason)", hint: error.hint)
      case (.misnamedSplitter, let pre?):
        throw Failure(.usage, "\(error.path): --pre \(pre): \(error.reason)", hint: error.hint)
          .suggesting(pre, among: PreTokenizer.names)
      default: throw error
      }
    }
  }
}
