/// Nearest known names for a misspelt one.
enum Suggestion {
  /// At most three names that are nearest to `word`; empty if all are far away, or if `word` is one of them and so was not
  /// misspelt. Only letters and digits count, without case.
  static func nearest(to word: String, among names: some Sequence<String>) -> [String] {
    let wanted = letters(of: word)
    guard !wanted.isEmpty else { return [] }
    var best = max(1, wanted.count / 3)
    var found: [String] = []
    for name in names {
      guard name != word else { return [] }
      let distance = editDistance(wanted, letters(of: name))
      guard distance <= best else { continue }
      if distance < best { found = [] }
      best = distance
      if !found.contains(name) { found.append(name) }
    }
    return Array(found.prefix(3))
  }

  /// `did you mean Q4_K_M or Q4_K?`; nil if no name is near.
  static func question(_ word: String, among names: some Sequence<String>) -> String? {
    let names = nearest(to: word, among: names)
    guard let last = names.last else { return nil }
    let first = names.dropLast().joined(separator: ", ")
    return "did you mean " + (first.isEmpty ? last : "\(first) or \(last)") + "?"
  }

  private static func letters(of text: String) -> [Character] {
    text.lowercased().filter { $0.isLetter || $0.isNumber }.map { $0 }
  }

  /// Minimum number of letters to insert, delete, replace or swap with a neighbour to turn one word into the other.
  static func editDistance(_ one: [Character], _ other: [Character]) -> Int {
    var rows = [Array(0...other.count)]
    for i in 0..<one.count {
      var row = [i + 1]
      for j in 0..<other.count {
        var minimum = min(rows[i][j] + (one[i] == other[j] ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
        if i > 0, j > 0, one[i] == other[j - 1], one[i - 1] == other[j] {
          minimum = min(minimum, rows[i - 1][j - 1] + 1)
        }
        row.append(minimum)
      }
      rows.append(row)
    }
    return rows[one.count][other.count]
  }
}

extension Failure {
  /// The failure with the nearest names at the start of its hint.
  func suggesting(_ word: String, among names: some Sequence<String>) -> Failure {
    guard let question = Suggestion.question(word, among: names) else { return self }
    var result = self
    result.hint = hint.map { "\(question) \($0)" } ?? question
    return result
  }
}
