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
      guard let pre, error.subject == "--pre \(pre)" else { throw error }
      throw Failure(error)?.suggesting(pre, among: PreTokenizer.names) ?? error
    }
  }

  /// One of several models: GGUF files among them name their splitters themselves.
  func openAmongOthers(_ path: String) throws -> any ModelSource {
    isDirectory(path) ? try open(path) : try openModel(path: path)
  }
}
