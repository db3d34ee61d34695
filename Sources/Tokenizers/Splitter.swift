/// Cuts text into the words that byte-pair encoding never crosses, by the pattern that a vocabulary was trained with.
enum Splitter: Sendable {
  /// Llama 3's: contractions, words with one leading character, digits by threes, punctuation, blanks.
  case llama

  init?(name: String) {
    switch name {
    case "llama-bpe", "llama3", "llama-v3": self = .llama
    default: return nil
    }
  }

  static let names = "llama-bpe"

  /// Calls `body` with the bytes of every word in order.
  func words(of text: Substring, _ body: ([UInt8]) -> Void) {
    let scalars = Array(text.unicodeScalars)
    var start = 0
    while start < scalars.count {
      let end = LlamaSplitter.end(of: scalars, from: start)
      var bytes: [UInt8] = []
      for scalar in scalars[start..<end] { bytes.append(contentsOf: UTF8.encode(scalar)!) }
      body(bytes)
      start = end
    }
  }
}

/// The pattern, alternative after alternative:
///
///     (?i:'s|'t|'re|'ve|'m|'ll|'d)  |  [^\r\n\p{L}\p{N}]?\p{L}+  |  \p{N}{1,3}
///     |  ?[^\s\p{L}\p{N}]+[\r\n]*  |  \s*[\r\n]+  |  \s+(?!\S)  |  \s+
enum LlamaSplitter {
  static func end(of text: [Unicode.Scalar], from start: Int) -> Int {
    let first = CharacterClass(text[start])
    if let end = contraction(text, start) { return end }
    // A word, with one character in front that is no letter, digit or line break.
    if first == .letter { return run(of: .letter, text, start) }
    if first != .digit, first != .lineBreak, start + 1 < text.count, CharacterClass(text[start + 1]) == .letter {
      return run(of: .letter, text, start + 1)
    }
    if first == .digit {
      var end = start + 1
      while end < text.count, end < start + 3, CharacterClass(text[end]) == .digit { end += 1 }
      return end
    }
    // Punctuation, with a blank in front and line breaks behind.
    let symbol =
      text[start] == " " && start + 1 < text.count && CharacterClass(text[start + 1]) == .other ? start + 1 : start
    if CharacterClass(text[symbol]) == .other {
      var end = run(of: .other, text, symbol)
      while end < text.count, CharacterClass(text[end]) == .lineBreak { end += 1 }
      return end
    }
    return blank(text, start)
  }

  private static func run(of kind: CharacterClass, _ text: [Unicode.Scalar], _ start: Int) -> Int {
    var end = start
    while end < text.count, CharacterClass(text[end]) == kind { end += 1 }
    return end
  }

  private static func contraction(_ text: [Unicode.Scalar], _ start: Int) -> Int? {
    guard text[start] == "'", start + 1 < text.count else { return nil }
    func lower(_ index: Int) -> Unicode.Scalar? {
      guard index < text.count else { return nil }
      let scalar = text[index]
      // Case folding: the long s and the Kelvin sign are the only others that fold to a letter here; only s matters.
      if scalar == "\u{17F}" { return "s" }
      return ("A"..."Z").contains(scalar) ? Unicode.Scalar(scalar.value + 32) : scalar
    }
    switch (lower(start + 1), lower(start + 2)) {
    case ("s", _), ("t", _), ("m", _), ("d", _): return start + 2
    case ("r", "e"), ("v", "e"), ("l", "l"): return start + 3
    default: return nil
    }
  }

  /// Blanks: up to the last line break; else all but the last blank before a word; else all.
  private static func blank(_ text: [Unicode.Scalar], _ start: Int) -> Int {
    var end = start
    var afterBreak = start
    while end < text.count {
      let kind = CharacterClass(text[end])
      guard kind == .space || kind == .lineBreak else { break }
      end += 1
      if kind == .lineBreak { afterBreak = end }
    }
    if afterBreak > start { return afterBreak }
    if end == text.count || end == start + 1 { return max(end, start + 1) }
    return end - 1
  }
}

/// What the patterns distinguish.
enum CharacterClass: Equatable {
  case letter, digit, lineBreak, space, other

  init(_ scalar: Unicode.Scalar) {
    if scalar.value < 0x80 {
      switch scalar.value {
      case 0x41...0x5A, 0x61...0x7A: self = .letter
      case 0x30...0x39: self = .digit
      case 0x0A, 0x0D: self = .lineBreak
      case 0x20, 0x09, 0x0B, 0x0C: self = .space
      default: self = .other
      }
      return
    }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
    case .decimalNumber, .letterNumber, .otherNumber: self = .digit
    default: self = scalar.properties.isWhitespace ? .space : .other
    }
  }
}
