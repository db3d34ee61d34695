/// The alternatives of tekken's and GPT-4o's pattern, with U for `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, l for
/// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]` and c for GPT-4o's optional contraction:
///
///     [^\r\n\p{L}\p{N}]?U*l+c  |  [^\r\n\p{L}\p{N}]?U+l*c  |  \p{N}{1,digits}
///     |  ?[^\s\p{L}\p{N}]+[\r\n/]*  |  \s*[\r\n]+  |  \s+(?!\S)  |  \s+
///
/// Kimi K2's pattern begins with a further alternative, `\p{Han}+`, excludes Han from U and l, and has no slashes behind
/// punctuation.
struct CasedWordPattern: Sendable {
  var digits: Int
  var contractions: Bool
  /// Whether runs of Han are words.
  var isolatesHan = false

  func end(_ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
    let first = CharacterClass(text[start])
    if isolatesHan {
      let end = HanCharacters.all.run(text, start, limit)
      if end > start { return end }
    }
    let hasPrefix = !first.meets([.letter, .number, .lineBreak])
    // Each alternative is tried with a leading character first, then without: a mark may be that character or a part of
    // the word.
    var end = start
    if hasPrefix {
      end = endOfLowerWord(text, start + 1, wordLimit(text, start + 1, limit))
      if end == start + 1 { end = start }
    }
    if end == start { end = endOfLowerWord(text, start, wordLimit(text, start, limit)) }
    if end == start, hasPrefix {
      end = endOfUpperWord(text, start + 1, wordLimit(text, start + 1, limit))
      if end == start + 1 { end = start }
    }
    if end == start { end = endOfUpperWord(text, start, wordLimit(text, start, limit)) }
    if end > start { return contractions ? endOfContraction(text, end, limit, ignoringCase: true) : end }
    if first.meets(.number) { return endOfRun(of: .number, text, start, min(limit, start + digits)) }
    let symbol = text[start] == 0x20 ? start + 1 : start
    end = endOfRun(notOf: [.letter, .number, .space], text, symbol, limit)
    if end > symbol {
      while end < limit, text[end] == 0x0A || text[end] == 0x0D || !isolatesHan && text[end] == 0x2F { end += 1 }
      return end
    }
    return endOfBlanks(text, start, limit)
  }

  /// The end of the letters and marks of a word that begins at `start`.
  private func wordLimit(_ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
    guard isolatesHan else { return limit }
    var end = start
    while end < limit, CharacterClass(text[end]).meets([.letter, .mark]), !HanCharacters.all.contains(text[end]) {
      end += 1
    }
    return end
  }
}

/// The characters of the script Han.
private enum HanCharacters {
  static let all = ScalarSet(
    """
    \u{2E80}-\u{2E99}\u{2E9B}-\u{2EF3}\u{2F00}-\u{2FD5}\u{3005}\u{3007}\u{3021}-\u{3029}\u{3038}-\u{303B}\
    \u{3400}-\u{4DBF}\u{4E00}-\u{9FFF}\u{F900}-\u{FA6D}\u{FA70}-\u{FAD9}\u{16FE2}\u{16FE3}\u{16FF0}-\u{16FF6}\
    \u{20000}-\u{2A6DF}\u{2A700}-\u{2B81D}\u{2B820}-\u{2CEAD}\u{2CEB0}-\u{2EBE0}\u{2EBF0}-\u{2EE5D}\
    \u{2F800}-\u{2FA1D}\u{30000}-\u{3134A}\u{31350}-\u{33479}
    """)
}

/// `U*l+`. The classes overlap: if no lower-case letter follows the run of U, the match ends after the run's last
/// character that is in both.
private func endOfLowerWord(_ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
  let upper = endOfRun(of: .upper, text, start, limit)
  let end = endOfRun(of: .lower, text, upper, limit)
  if end > upper { return end }
  var last = upper
  while last > start, !CharacterClass(text[last - 1]).meets(.lower) { last -= 1 }
  return last
}

/// `U+l*`
private func endOfUpperWord(_ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
  let upper = endOfRun(of: .upper, text, start, limit)
  return upper > start ? endOfRun(of: .lower, text, upper, limit) : start
}
