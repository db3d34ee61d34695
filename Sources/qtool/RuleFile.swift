import Files
import Quantize

/// The rules of a --tensor-type-file: `REGEX=TYPE`, separated by blanks or line ends. `#` at the start of a word begins a
/// comment.
struct RuleFile {
  private(set) var rules: [TypeRule] = []
  private var locations: [TypeRule: String] = [:]

  /// No rules.
  init() {}

  /// - Throws: `RecipeError` with the file and line of the first bad rule.
  init(path: String) throws {
    let lines = try TextFile(path: path).text.split(separator: "\n", omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() {
      let location = "\(path): line \(index + 1)"
      for word in line.split(whereSeparator: \.isWhitespace) {
        if word.hasPrefix("#") { break }
        do {
          let rule = try TypeRule(String(word))
          rules.append(rule)
          if locations[rule] == nil { locations[rule] = location }
        } catch { throw RecipeError.within(file: location, error) }
      }
    }
  }

  /// The error with the file and line of its rule, if that is in the file.
  func located(_ error: RecipeError, of rule: TypeRule) -> RecipeError {
    locations[rule].map { .within(file: $0, error) } ?? error
  }
}
