import Foundation
import TestSupport
import Testing

/// `qtool tokenize`, and `--pre` for a tokenizer of unknown structure.
@Suite struct TokenizeTests {
  let qtool = Binary(beside: .module)

  private func text(in directory: TemporaryDirectory) throws -> String {
    try "Hello, world 12345!".write(toFile: directory.path("text.txt"), atomically: true, encoding: .utf8)
    return directory.path("text.txt")
  }

  @Test func unknownStructureIsShownAndCanBeNamed() throws {
    let directory = try TemporaryDirectory()
    let text = try text(in: directory)
    let model = try DemoCopy()
    let sound = try qtool.run(["tokenize", model.path, "--text", text])
    #expect(sound.status == 0 && !sound.output.isEmpty)
    try model.replace(#"\\p{N}{1,3}"#, by: #"\\p{N}{1,4}"#, in: "tokenizer.json")
    let output = ["convert", model.path, "-o", directory.path("o.gguf")]
    for command in [["tokenize", model.path, "--text", text], output] {
      let result = try qtool.run(command)
      #expect(result.status == 65)
      #expect(result.error.contains("tokenizer.json: key pre_tokenizer: has an unknown structure: Split (?i:'s|'t"))
      #expect(result.error.contains("--pre NAME; known: "))
      #expect(result.error.split(separator: "\n").count == 2 && result.output.isEmpty)
    }
    #expect(directory.contents == ["text.txt"])
    let named = try qtool.run(["tokenize", model.path, "--text", text, "--pre", "llama-bpe"])
    #expect(named.status == 0 && named.output == sound.output)
    let wrong = try qtool.run(["tokenize", model.path, "--text", text, "--pre", "nonesuch"])
    #expect(wrong.status == 64 && wrong.error.contains("--pre nonesuch: is unknown"))
  }

  /// A padding token without a row in the embedding, as in many fine-tunes.
  @Test func decisionsAreNotedUnlessQuiet() throws {
    let directory = try TemporaryDirectory()
    let model = try DemoCopy()
    try model.replace(
      #""model_max_length""#, by: #""pad_token": "<pad>", "model_max_length""#, in: "tokenizer_config.json")
    let convert = ["convert", model.path, "-o", directory.path("o.gguf"), "--force"]
    let said = try qtool.run(convert)
    #expect(said.status == 0)
    #expect(said.error.contains(#"note: \#(model.path)/tokenizer_config.json: token "<pad>" is left out: its id 2048"#))
    let quiet = try qtool.run(convert + ["--quiet"])
    #expect(quiet.status == 0 && quiet.error.isEmpty)
    let inspected = try qtool.run(["inspect", model.path])
    #expect(inspected.output.contains(#"token "<pad>" is left out"#) && !inspected.error.contains("note:"))
  }

  @Test func aGGUFNamesItsOwn() throws {
    let directory = try TemporaryDirectory()
    let text = try text(in: directory)
    let path = directory.path("demo.gguf")
    let model = try DemoCopy()
    let converted = try qtool.run(["convert", model.path, "-o", path, "--quiet"])
    #expect(converted.status == 0)
    let ids = try qtool.run(["tokenize", path, "--text", text]).output
    let wanted = try qtool.run(["tokenize", model.path, "--text", text]).output
    #expect(ids == wanted && !ids.isEmpty)
    let result = try qtool.run(["tokenize", path, "--text", text, "--pre", "qwen2"])
    #expect(result.status == 64 && result.error.contains("--pre: does not apply"))
  }
}
