import Foundation
import Tensors
import TestSupport

/// Text of ten scripts with emoji, code and unusual blanks. Fixtures/families/mixed.py makes the same text.
struct MixedText: Decodable {
  let alphabets: [String]
  let fragments: [String]
  let separators: [String]

  /// About `size` characters: words of one script after another, with occasional fragments.
  func document(seed: UInt64, size: Int) -> String {
    var random = SplitMix(seed: seed)
    func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
    let alphabets = alphabets.map { Array($0.unicodeScalars) }
    var text = ""
    var length = 0
    while length < size {
      let alphabet = alphabets[below(alphabets.count)]
      for _ in 0..<1 + below(6) {
        var part: String
        if below(8) == 0 {
          part = fragments[below(fragments.count)]
        } else {
          var word = (0..<1 + below(9)).map { _ in alphabet[below(alphabet.count)] }
          if below(4) == 0, word[0].isASCII { word[0] = word[0].properties.uppercaseMapping.unicodeScalars.first! }
          part = String(String.UnicodeScalarView(word))
        }
        part += separators[below(separators.count)]
        text += part
        length += part.unicodeScalars.count
      }
    }
    return text
  }
}
