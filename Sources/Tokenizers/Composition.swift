import Foundation

/// Composes text (Unicode's NFC).
package func composed(_ text: Substring) -> Substring {
  // Characters below U+0300 neither compose nor are reordered.
  guard text.unicodeScalars.contains(where: { $0.value >= 0x300 }) else { return text }
  var input = String.UnicodeScalarView()
  for scalar in text.unicodeScalars { input.append(contentsOf: tibetanVowels[scalar] ?? [scalar]) }
  return Substring(composingHangul(String(input).precomposedStringWithCanonicalMapping))
}

/// Starters that decompose into marks. Foundation does not reorder these marks among the preceding ones.
private let tibetanVowels: [Unicode.Scalar: [Unicode.Scalar]] = [
  "\u{F73}": ["\u{F71}", "\u{F72}"], "\u{F75}": ["\u{F71}", "\u{F74}"], "\u{F81}": ["\u{F71}", "\u{F80}"],
]

/// Composes the Hangul that Foundation leaves decomposed between successive final consonants: a consonant and a vowel,
/// and an open syllable and a final. The formula is that of the Unicode Standard, section 3.12.
private func composingHangul(_ text: String) -> String {
  guard text.unicodeScalars.contains(where: { (0x1160..<0x1200).contains($0.value) }) else { return text }
  var result: [Unicode.Scalar] = []
  for scalar in text.unicodeScalars {
    if let last = result.last?.value, let syllable = syllable(last, scalar.value) {
      result[result.count - 1] = syllable
    } else {
      result.append(scalar)
    }
  }
  return String(String.UnicodeScalarView(result))
}

private func syllable(_ left: UInt32, _ right: UInt32) -> Unicode.Scalar? {
  switch (left, right) {
  case (0x1100...0x1112, 0x1161...0x1175):
    Unicode.Scalar(0xAC00 + ((left - 0x1100) * 21 + (right - 0x1161)) * 28)
  case (0xAC00...0xD7A3, 0x11A8...0x11C2) where (left - 0xAC00) % 28 == 0: Unicode.Scalar(left + (right - 0x11A7))
  default: nil
  }
}
