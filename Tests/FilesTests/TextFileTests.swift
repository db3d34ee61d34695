import Files
import Tensors
import Testing

/// Text in the encodings and line ends of different systems is read, or refused with a hint.
@Suite struct TextFileTests {
  private func read(
    _ bytes: [UInt8], form: TextFile.Form = .lines, _ invalid: TextFile.InvalidBytes = .refused
  ) throws -> TextFile {
    try TextFile(bytes: bytes, path: "a.txt", form: form, invalidBytes: invalid)
  }

  @Test(arguments: ["one\ntwo\n\nfour\n", "one\r\ntwo\r\n\r\nfour\r\n", "one\rtwo\r\rfour\r", "one\r\ntwo\n\rfour\n"])
  func everyLineEndBecomesLF(_ text: String) throws {
    let file = try read(Array(text.utf8))
    #expect(file.text.unicodeScalars.elementsEqual("one\ntwo\n\nfour\n".unicodeScalars))
    #expect(file.hadCarriageReturns == text.utf8.contains(13))
    #expect(file.text.split(separator: "\n") == ["one", "two", "four"])
  }

  @Test func aByteOrderMarkIsNotText() throws {
    #expect(try read([0xEF, 0xBB, 0xBF, 0x61]).text == "a")
    #expect(try read([0xEF, 0xBB, 0xBF]).text == "")
    // In the middle it is a character.
    #expect(try read([0x61, 0xEF, 0xBB, 0xBF]).text.unicodeScalars.map(\.value) == [0x61, 0xFEFF])
  }

  @Test func exactTextIsEveryByte() throws {
    let bytes: [UInt8] = [0xEF, 0xBB, 0xBF, 0x61, 13, 10, 13, 0x62]
    #expect(Array(try read(bytes, form: .exact).text.utf8) == bytes)
  }

  /// "Größe = 7\n" four times, with and without a mark.
  @Test(arguments: [
    ("UTF-16LE", false, 2), ("UTF-16BE", true, 2), ("UTF-32LE", false, 4), ("UTF-32BE", true, 4),
  ])
  func widerEncodingsAreRefused(_ name: String, isBigEndian: Bool, width: Int) throws {
    func encoded(_ text: String) -> [UInt8] {
      text.unicodeScalars.flatMap { scalar -> [UInt8] in
        let bytes = (0..<width).map { UInt8(truncatingIfNeeded: scalar.value >> (8 * UInt32($0))) }
        return isBigEndian ? bytes.reversed() : bytes
      }
    }
    let text = String(repeating: "Größe = 7\n", count: 4)
    for bytes in [encoded(text), encoded("\u{FEFF}" + text), encoded("\u{FEFF}数学")] {
      for form in [TextFile.Form.lines, .exact] {
        let error = #expect(throws: TextError.self) { try read(bytes, form: form, .replaced) }
        #expect(error?.description == "a.txt: is \(name), not UTF-8")
        #expect(error?.hint == "convert it: iconv -f \(name) -t UTF-8 FILE > NEW")
      }
      #expect(throws: TextError.self) { try TextFile.content(of: bytes, path: "a.txt") }
    }
  }

  /// NUL is also a character of UTF-8.
  @Test func textWithSomeNULsIsUTF8() throws {
    for text in ["\0", "a\0", "a\0b", "a\0b\0c and so on", String(repeating: "\0", count: 100), "ab\0\0cd\0\0ef\0\0"] {
      #expect(try read(Array(text.utf8)).text == text, "\(text.debugDescription)")
    }
  }

  @Test func invalidBytesAreNamedOrReplaced() throws {
    // "é" of a Windows code page, a surrogate, a sequence that is cut off.
    let bytes: [UInt8] = Array("a\r\ncaf".utf8) + [0xE9, 0x20] + Array("数".utf8) + [0xED, 0xA0, 0x80, 0xF0, 0x9F]
    let error = #expect(throws: TextError.self) { try read(bytes) }
    #expect(error?.offset == 6 && error?.description == "a.txt: at byte 6: is not UTF-8")
    #expect(error?.hint?.contains("iconv -f WINDOWS-1252") == true)
    let marked = #expect(throws: TextError.self) { try read([0xEF, 0xBB, 0xBF] + bytes) }
    #expect(marked?.offset == 9)
    let file = try read(bytes, .replaced)
    #expect(file.text == "a\ncaf\u{FFFD} 数\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}" && file.invalidSequences == 5)
    #expect(try read(Array("a\u{FFFD}".utf8), .replaced).invalidSequences == 0)
  }

  /// The count equals the number of U+FFFD in the text.
  @Test func countsReplacements() throws {
    var random = SplitMix(seed: 7)
    for _ in 0..<200 {
      let bytes = (0..<40).map { _ in UInt8.random(in: 1...255, using: &random) }
      guard let file = try? read(bytes, form: .exact, .replaced) else { continue }
      #expect(file.text.unicodeScalars.count { $0.value == 0xFFFD } == file.invalidSequences, "\(bytes)")
    }
  }

  @Test func filesBeyondTheirLimitAreRefused() throws {
    let error = #expect(throws: TextError.self) { try TextFile(path: #filePath, limit: 100) }
    #expect(error?.reason.hasSuffix("bytes, too many for this file") == true)
  }
}
