/// The character classes that the splitters' patterns use.
struct CharacterClass: OptionSet, Sendable {
  let rawValue: UInt16

  init(rawValue: UInt16) { self.rawValue = rawValue }

  /// `\p{L}`
  static let letter = CharacterClass(rawValue: 1)
  /// `\p{N}`
  static let number = CharacterClass(rawValue: 1 << 1)
  /// `\s`, line breaks included.
  static let space = CharacterClass(rawValue: 1 << 2)
  /// `[\r\n]`
  static let lineBreak = CharacterClass(rawValue: 1 << 3)
  /// `\p{M}`
  static let mark = CharacterClass(rawValue: 1 << 4)
  /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`: characters at the start of a capitalised word.
  static let upper = CharacterClass(rawValue: 1 << 5)
  /// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`: characters in its remainder.
  static let lower = CharacterClass(rawValue: 1 << 6)
  /// `\p{P}`
  static let punctuation = CharacterClass(rawValue: 1 << 7)
  /// `\p{S}`
  static let symbol = CharacterClass(rawValue: 1 << 8)
  /// `[A-Za-z]`
  static let asciiLetter = CharacterClass(rawValue: 1 << 9)
  /// The 32 characters of ASCII punctuation and symbols.
  static let asciiMark = CharacterClass(rawValue: 1 << 10)

  /// The classes of a scalar value. Those of the basic plane come from a table.
  @inline(__always)
  init(_ scalar: UInt32) {
    self = scalar < 0x10000 ? Self.basicPlane[Int(scalar)] : Self(computing: scalar)
  }

  func meets(_ other: CharacterClass) -> Bool { rawValue & other.rawValue != 0 }

  private static let basicPlane: [CharacterClass] = (0..<0x10000 as Range<UInt32>).map { CharacterClass(computing: $0) }

  private init(computing value: UInt32) {
    guard let scalar = Unicode.Scalar(value) else {
      self = []
      return
    }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .titlecaseLetter: self = [.letter, .upper]
    case .lowercaseLetter: self = [.letter, .lower]
    case .modifierLetter, .otherLetter: self = [.letter, .upper, .lower]
    case .nonspacingMark, .spacingMark, .enclosingMark: self = [.mark, .upper, .lower]
    case .decimalNumber, .letterNumber, .otherNumber: self = .number
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      self = .punctuation
    case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: self = .symbol
    default: self = []
    }
    if scalar.properties.isWhitespace { insert(.space) }
    if value == 0x0A || value == 0x0D { insert(.lineBreak) }
    if value < 0x80 {
      if meets(.letter) { insert(.asciiLetter) }
      if meets([.punctuation, .symbol]) { insert(.asciiMark) }
    }
  }
}
