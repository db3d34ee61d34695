import ArgumentParser
import Checkpoint
import GGUF

/// What helps with a Hugging Face directory whose tokenizer is of an unknown structure.
struct SplitterOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The splitter that a directory's tokenizer.json equals, as llama.cpp names it, where its structure is unknown.",
      valueName: "name"))
  var pre: String?

  func open(_ path: String) throws -> any ModelSource { try openModel(path: path, pre: pre) }

  /// One of several models: GGUF files among them name their splitters themselves.
  func openAmongOthers(_ path: String) throws -> any ModelSource {
    try openModel(path: path, pre: isDirectory(path) ? pre : nil)
  }
}
