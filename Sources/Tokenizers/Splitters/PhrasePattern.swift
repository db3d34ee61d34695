/// The alternatives of EXAONE MoE's pattern. Words with a single blank between them are one:
///
///     (?i:'s|'t|'re|'ve|'m|'ll|'d)  |  [^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+  |  \p{N}
///     |  ?[^\s\p{L}\p{N}]+[\r\n/]?  |  \s*[\r\n]  |  \s+(?!\S)  |  \s+
enum PhrasePattern {
  static func end(_ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
    let contraction = endOfContraction(text, start, limit, ignoringCase: true)
    if contraction > start { return contraction }
    let first = CharacterClass(text[start])
    if !first.meets([.letter, .number, .lineBreak]) {
      let end = endOfPhrase(text, start + 1, limit)
      if end > start + 1 { return end }
    }
    if first.meets(.letter) { return endOfPhrase(text, start, limit) }
    if first.meets(.number) { return start + 1 }
    let symbol = text[start] == 0x20 ? start + 1 : start
    var end = endOfRun(notOf: [.letter, .number, .space], text, symbol, limit)
    if end > symbol {
      if end < limit, text[end] == 0x0A || text[end] == 0x0D || text[end] == 0x2F { end += 1 }
      return end
    }
    return endOfBlanks(text, start, limit)
  }

  /// `(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+`
  private static func endOfPhrase(_ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
    var end = start
    while end < limit {
      let letter = text[end] == 0x20 && end > start ? end + 1 : end
      guard letter < limit, CharacterClass(text[letter]).meets(.letter) else { break }
      end = endOfRun(of: .mark, text, letter + 1, limit)
    }
    return end
  }
}
