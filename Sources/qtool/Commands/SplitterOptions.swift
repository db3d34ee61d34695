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

  func open(_ path: String) throws -> any ModelSource {
    do {
      return try openModel(path: path, pre: pre)
    } catch let error as CheckpointError {
      guard let pre, error.subject?.hasPrefix("--pre") == true else { throw error }
      let failure = Failure(.usage, error.description, hint: error.hint)
      throw error.subject == "--pre" ? failure : failure.suggesting(pre, among: PreTokenizer.names)
    }
  }

  /// One of several models: GGUF files among them name their splitters themselves.
  func openAmongOthers(_ path: String) throws -> any ModelSource {
    isDirectory(path) ? try open(path) : try openModel(path: path)
  }
}
