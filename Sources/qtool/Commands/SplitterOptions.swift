import ArgumentParser
import Checkpoint
import GGUF
import Tokenizers

/// What helps with a Hugging Face directory whose tokenizer is of an unknown structure.
struct SplitterOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The splitter that a directory's tokenizer.json equals, as llama.cpp names it, where its structure is unknown.",
      valueName: "name"))
  var pre: String?

  /// Opens a model and says, unless `progress` is quiet, how a directory was read where its files leave that open.
  func open(_ path: String, _ progress: Progress = Progress(quiet: false)) throws -> any ModelSource {
    do {
      let source = try openModel(path: path, pre: pre)
      for note in (source as? CheckpointDirectory)?.notes ?? [] { progress.note("note: \(note)") }
      return source
    } catch let error as CheckpointError {
      guard let pre, error.subject?.hasPrefix("--pre") == true else { throw error }
      let failure = Failure(.usage, error.description, hint: error.hint)
      throw error.subject == "--pre" ? failure : failure.suggesting(pre, among: PreTokenizer.names)
    }
  }

  /// One of several models: GGUF files among them name their splitters themselves.
  func openAmongOthers(
    _ path: String, _ progress: Progress = Progress(quiet: false)
  ) throws -> any ModelSource {
    isDirectory(path) ? try open(path, progress) : try openModel(path: path)
  }
}
