/// The alternatives of Llama 3's and Qwen 2's pattern:
///
///     (?i:'s|'t|'re|'ve|'m|'ll|'d)  |  [^\r\n\p{L}\p{N}]?\p{L}+  |  \p{N}{1,digits}
///     |  ?[^\s\p{L}\p{N}]+[\r\n]*  |  \s*[\r\n]+  |  \s+(?!\S)  |  \s+
struct WordPattern: Sendable {
  /// The class that replaces `\p{L}` in words and in the class that punctuation excludes.
  var letters: CharacterClass = .letter
  var digits: Int
  /// Whether line breaks behind punctuation belong to it.
  var takesBreaks = true

  func end(_ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
    let contraction = endOfContraction(text, start, limit, ignoringCase: true)
    if contraction > start { return contraction }
    let first = CharacterClass(text[start])
    // A word, after one character that is not a letter, digit or line break.
    if !first.meets([.letter, .number, .lineBreak]) {
      let end = endOfRun(of: letters, text, start + 1, limit)
      if end > start + 1 { return end }
    }
    if first.meets(letters) { return endOfRun(of: letters, text, start, limit) }
    if first.meets(.number) { return endOfRun(of: .number, text, start, min(limit, start + digits)) }
    // Punctuation, with an optional leading blank and trailing line breaks.
    let word = letters.union([.space, .number])
    let symbol = text[start] == 0x20 ? start + 1 : start
    let end = endOfRun(notOf: word, text, symbol, limit)
    if end > symbol { return takesBreaks ? endOfRun(of: .lineBreak, text, end, limit) : end }
    return endOfBlanks(text, start, limit)
  }
}

/// GPT-2's pattern:
///
///     's|'t|'re|'ve|'m|'ll|'d  |  ?\p{L}+  |  ?\p{N}+  |  ?[^\s\p{L}\p{N}]+  |  \s+(?!\S)  |  \s+
enum GPT2Pattern {
  static func end(_ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
    let contraction = endOfContraction(text, start, limit, ignoringCase: false)
    if contraction > start { return contraction }
    let first = text[start] == 0x20 && start + 1 < limit ? start + 1 : start
    let kind = CharacterClass(text[first])
    if kind.meets(.letter) { return endOfRun(of: .letter, text, first, limit) }
    if kind.meets(.number) { return endOfRun(of: .number, text, first, limit) }
    if !kind.meets(.space) { return endOfRun(notOf: [.letter, .number, .space], text, first, limit) }
    return endOfBlanks(text, start, limit, lineBreaks: false)
  }
}
