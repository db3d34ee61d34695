/// One pattern of a splitter.
enum SplitStage: Sendable {
  case words(WordPattern)
  case cased(CasedWordPattern)
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
  case gpt2
  case deepSeekV3(joinsBreaks: Bool)
  /// EXAONE MoE's words, which contain single blanks.
  case phrases
  /// `\p{N}{1,3}` with groups of three counted from the run's end.
  case groupedDigits
  /// `\d{1,3}(?=(?:\d{3})*\b)`
  case boundedDigits
  /// `[^\n]+|\n+`
  case lines
  /// A run of one of several sets.
  case sets([ScalarSet])
  /// `\p{N}{1,maximum}`
  case digits(maximum: Int)
  /// `[0-9][0-9][0-9]`
  case threeDigits
  /// `[\r\n]`
  case lineBreak
  /// A run of a class; `blank` allows one blank in front.
  case run(CharacterClass, blank: Bool)
  /// A run of listed characters; `blank` allows one blank in front.
  case set(ScalarSet, blank: Bool)
  /// `\s+$`
  case trailingBlanks

  /// The first position of a piece that may match. Trailing blanks are searched from the end.
  func firstPosition(_ text: Span<UInt32>, _ piece: Range<Int>) -> Int {
    guard case .trailingBlanks = self else { return piece.lowerBound }
    var start = piece.upperBound
    while start > piece.lowerBound, CharacterClass(text[start - 1]).meets(.space) { start -= 1 }
    return start
  }

  /// The end of the match at `start`; `start` if there is none.
  func end(_ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
    switch self {
    case .words(let pattern): return pattern.end(text, start, limit)
    case .cased(let pattern): return pattern.end(text, start, limit)
    case .gpt2: return GPT2Pattern.end(text, start, limit)
    case .deepSeekV3(let joins): return DeepSeekPatterns.endOfV3(text, start, limit, joinsBreaks: joins)
    case .phrases: return PhrasePattern.end(text, start, limit)
    case .groupedDigits: return endOfGroup(start, endOfRun(of: .number, text, start, limit))
    case .boundedDigits:
      var end = start
      while end < limit, isDecimal(text[end]) { end += 1 }
      return end < limit && isWordCharacter(text[end]) ? start : endOfGroup(start, end)
    case .lines:
      let isBreak = text[start] == 0x0A
      var end = start
      while end < limit, (text[end] == 0x0A) == isBreak { end += 1 }
      return end
    case .sets(let sets):
      for set in sets {
        let end = set.run(text, start, limit)
        if end > start { return end }
      }
      return start
    case .digits(let maximum): return endOfRun(of: .number, text, start, min(limit, start + maximum))
    case .threeDigits:
      guard start + 3 <= limit else { return start }
      for index in start..<start + 3 where !(0x30...0x39).contains(text[index]) { return start }
      return start + 3
    case .lineBreak: return CharacterClass(text[start]).meets(.lineBreak) ? start + 1 : start
    case .run(let kind, let blank):
      // A blank without a following run is not a match, since the class contains no blank.
      let first = blank && CharacterClass(text[start]).meets(.space) ? start + 1 : start
      let end = endOfRun(of: kind, text, first, limit)
      return end > first ? end : start
    case .set(let set, let blank):
      if blank, CharacterClass(text[start]).meets(.space) {
        let end = set.run(text, start + 1, limit)
        if end > start + 1 { return end }
      }
      return set.run(text, start, limit)
    case .trailingBlanks: return limit
    }
  }
}

/// The end of the first group of digits, if groups of three are counted from the run's end.
private func endOfGroup(_ start: Int, _ end: Int) -> Int {
  end == start ? start : start + ((end - start - 1) % 3 + 1)
}

/// `\d`
private func isDecimal(_ value: UInt32) -> Bool {
  if value < 0x80 { return (0x30...0x39).contains(value) }
  return Unicode.Scalar(value)?.properties.generalCategory == .decimalNumber
}

/// `\w`
private func isWordCharacter(_ value: UInt32) -> Bool {
  guard let properties = Unicode.Scalar(value)?.properties else { return false }
  return properties.isAlphabetic || CharacterClass(value).meets(.mark) || isDecimal(value)
    || properties.generalCategory == .connectorPunctuation
}

/// The end of a run of a class that begins at `start`.
func endOfRun(of kind: CharacterClass, _ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
  var end = start
  while end < limit, CharacterClass(text[end]).meets(kind) { end += 1 }
  return end
}

/// The end of a run of characters outside of a class that begins at `start`.
func endOfRun(notOf kind: CharacterClass, _ text: Span<UInt32>, _ start: Int, _ limit: Int) -> Int {
  var end = start
  while end < limit, !CharacterClass(text[end]).meets(kind) { end += 1 }
  return end
}

/// The end of a match of `\s*[\r\n]+|\s+(?!\S)|\s+`: whitespace up to the last line break, else without the last blank
/// before a word, else all. Without `lineBreaks`, the first alternative is missing.
func endOfBlanks(_ text: Span<UInt32>, _ start: Int, _ limit: Int, lineBreaks: Bool = true) -> Int {
  var end = start
  var afterBreak = start
  while end < limit {
    let kind = CharacterClass(text[end])
    guard kind.meets(.space) else { break }
    end += 1
    if kind.meets(.lineBreak) { afterBreak = end }
  }
  if lineBreaks, afterBreak > start { return afterBreak }
  return end == limit || end <= start + 1 ? end : end - 1
}

/// The end of a match of `'s|'t|'re|'ve|'m|'ll|'d` at `start`; `start` if there is none.
func endOfContraction(_ text: Span<UInt32>, _ start: Int, _ limit: Int, ignoringCase: Bool) -> Int {
  guard start + 1 < limit, text[start] == 0x27 else { return start }
  func letter(_ index: Int) -> UInt32 {
    guard index < limit else { return 0 }
    let value = text[index]
    guard ignoringCase else { return value }
    // Besides capitals, only the long s folds to one of these letters.
    if value == 0x17F { return 0x73 }
    return (0x41...0x5A).contains(value) ? value + 32 : value
  }
  let (s, t, r, e, v, m, l, d): (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) =
    (0x73, 0x74, 0x72, 0x65, 0x76, 0x6D, 0x6C, 0x64)
  switch letter(start + 1) {
  case s, t, m, d: return start + 2
  case r, v: return letter(start + 2) == e ? start + 3 : start
  case l: return letter(start + 2) == l ? start + 3 : start
  default: return start
  }
}
