import ArgumentParser
import Checkpoint
import Tokenizers

struct TokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Print the token ids of a text.",
    usage: "qtool tokenize <model> --text <file> [<options>]",
    discussion: """
      Ids are those of the model's own tokenizer, one line in all.

        qtool tokenize Qwen2.5-7B --text notes.txt
        qtool tokenize model.gguf --text chat.txt --parse-special
      """)

  @Argument(help: "A Hugging Face directory or a GGUF file.", completion: .file()) var model: String
  @Option(name: .long, help: ArgumentHelp("The text file.", valueName: "file"), completion: .file()) var text: String
  @Flag(name: .long, help: "Leave out the tokens that the model puts around a text.") var noSpecial = false
  @Flag(name: .long, help: "Take the text of control tokens for the tokens themselves.") var parseSpecial = false

  @OptionGroup(title: "Tokenizer") var splitter: SplitterOptions

  func run() throws {
    let tokenizer = try Tokenizer(metadata: try splitter.open(model).metadata)
    let ids = tokenizer.encode(try readText(text), addSpecial: !noSpecial, parseSpecial: parseSpecial)
    print(ids.map(String.init).joined(separator: " "))
  }
}
