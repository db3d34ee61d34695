import TestSupport
import Testing

/// Libraries throw facts, and do not know who calls them: options and commands are named in `qtool` alone.
@Suite struct LibraryWordsTests {
  /// Files with text that looks like an option and is none: variables of a style sheet, and a model's card.
  private static let exceptions: Set = ["Report/Template.swift", "MLX/MLXFolder.swift"]

  /// The lines of `text` that name an option (`--memory`) or a command (`qtool verify`), without comments.
  private static func naming(_ text: String) -> [Substring] {
    text.split(separator: "\n").filter { line in
      let code = line.firstRange(of: " // ").map { line[..<$0.lowerBound] } ?? line
      return code.contains(#/--[a-z]|\bqtool /#)
    }
  }

  @Test func namesNeitherOptionsNorCommands() throws {
    let files = try SourceFiles.withoutComments().filter { !$0.key.hasPrefix("qtool/") }
    #expect(files.count > 200)
    for (path, text) in files.sorted(by: { $0.key < $1.key }) where !Self.exceptions.contains(path) {
      #expect(Self.naming(text) == [], "\(path)")
    }
    for path in Self.exceptions {
      #expect(try Self.naming(#require(files[path])) != [], "\(path) is no exception any more")
    }
  }

  @Test func findsThem() {
    #expect(
      Self.naming(
        "let a = \"pass --memory 1GiB\"\nlet b = \"run `qtool verify`\"\nlet c = 1 // --ctx\nlet d = \"-- 1\""
      )
      .count == 2)
  }
}
