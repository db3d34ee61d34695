/// The alternatives of tekken's and GPT-4o's pattern, with U for `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, l for
/// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]` and c for GPT-4o's optional contraction:
///
///     [^\r\n\p{L}\p{N}]?U*l+c  |  [^\r\n\p{L}\p{N}]?U+l*c  |  \p{N}{1,digits}
///     |  ?[^\s\p{L}\p{N}]+[\r\n/]*  |  \s*[\r\n]+  |  \s+(?!\S)  |  \s+
struct CasedWordPattern: Sendable {
  var digits: Int
  var contractions: Bool

  func end(_ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
    let first = CharacterClass(text[start])
    let hasPrefix = !first.meets([.letter, .number, .lineBreak])
    // Each alternative is tried with a leading character first, then without: a mark may be that character or a part of
    // the word.
    var end = start
    if hasPrefix {
      end = endOfLowerWord(text, start + 1, limit)
      if end == start + 1 { end = start }
    }
    if end == start { end = endOfLowerWord(text, start, limit) }
    if end == start, hasPrefix {
      end = endOfUpperWord(text, start + 1, limit)
      if end == start + 1 { end = start }
    }
    if end == start { end = endOfUpperWord(text, start, limit) }
    if end > start { return contractions ? endOfContraction(text, end, limit, ignoringCase: true) : end }
    if first.meets(.number) { return endOfRun(of: .number, text, start, min(limit, start + digits)) }
    let symbol = text[start] == 0x20 ? start + 1 : start
    end = endOfRun(notOf: [.letter, .number, .space], text, symbol, limit)
    if end > symbol {
      while end < limit, text[end] == 0x0A || text[end] == 0x0D || text[end] == 0x2F { end += 1 }
      return end
    }
    return endOfBlanks(text, start, limit)
  }
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
