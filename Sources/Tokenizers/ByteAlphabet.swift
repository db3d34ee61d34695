/// The 256 printable characters with which byte-level vocabularies represent bytes (GPT-2's `bytes_to_unicode`):
/// printable Latin-1 represents itself, the other bytes are U+0100 and following.
package enum ByteAlphabet {
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (0..<256 as Range<UInt32>).map { byte in
      if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte) {
        return Unicode.Scalar(byte) ?? " "
      }
      defer { next += 1 }
      return Unicode.Scalar(next) ?? " "
    }
  }()

  private static let bytes: [Unicode.Scalar: UInt8] =
    Dictionary(uniqueKeysWithValues: scalars.enumerated().map { ($1, UInt8($0)) })

  /// The text that represents bytes.
  package static func text(of bytes: ArraySlice<UInt8>) -> String {
    var text = String.UnicodeScalarView()
    for byte in bytes { text.append(scalars[Int(byte)]) }
    return String(text)
  }

  /// The bytes of a token's text; nil if a character does not represent a byte (an added token in plain text).
  package static func bytes(of token: String) -> [UInt8]? {
    var result: [UInt8] = []
    for scalar in token.unicodeScalars {
      guard let byte = bytes[scalar] else { return nil }
      result.append(byte)
    }
    return result
  }
}
