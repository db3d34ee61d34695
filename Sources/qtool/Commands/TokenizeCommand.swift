import ArgumentParser
import Checkpoint
import Files
import Tensors
import Tokenizers

struct TokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Print the token ids of a text.",
    usage: "qtool tokenize <model> --text <file> [<options>]",
    discussion: """
      Ids are those of the model's own tokenizer, one line in all. Every byte of the text counts: a byte order mark and \
      carriage returns are tokens here, and no part of the text that other commands score.

        qtool tokenize Qwen2.5-7B --text notes.txt
        qtool tokenize model.gguf --text chat.txt --parse-special
      """)

  @Argument(help: "A Hugging Face directory or a GGUF file.", completion: .file()) var model: String
  @Option(name: .long, help: ArgumentHelp("The text file.", valueName: "file"), completion: .file()) var text: String
  @Flag(name: .long, help: "Leave out the tokens that the model puts around a text.") var noSpecial = false
  @Flag(name: .long, help: "Take the text of control tokens for the tokens themselves.") var parseSpecial = false

  @OptionGroup(title: "Checkpoint") var splitter: SplitterOptions

  func run() throws {
    let tokenizer = try Tokenizer(metadata: try splitter.open(model).metadata)
    let file = try TextFile(path: text, form: .exact, invalidBytes: .replaced)
    if file.invalidSequences > 0 {
      Terminal.write(
        "warning: \(text): \(file.invalidSequences) sequences of bytes are not UTF-8 and are read as U+FFFD")
    }
    let ids = tokenizer.encode(file.text, addSpecial: !noSpecial, parseSpecial: parseSpecial)
    print(ids.map(String.init).joined(separator: " "))
  }
}
