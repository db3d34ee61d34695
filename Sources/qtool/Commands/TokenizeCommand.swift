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
      Prints the ids of the model's tokenizer on one line. Every byte of the text is encoded, also a byte order mark and \
      carriage returns, which other commands drop.

        qtool tokenize Qwen2.5-7B --text notes.txt
        qtool tokenize model.gguf --text chat.txt --parse-special
      """)

  @Argument(help: "A Hugging Face directory or a GGUF file.", completion: .file()) var model: String
  @Option(name: .long, help: ArgumentHelp("The text file.", valueName: "file"), completion: .file()) var text: String
  @Flag(name: .long, help: "Leave out BOS and other tokens that are added around a text.") var noSpecial = false
  @Flag(name: .long, help: "Parse the text of control tokens as these tokens.") var parseSpecial = false

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
