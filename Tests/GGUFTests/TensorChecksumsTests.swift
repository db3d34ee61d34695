import Files
import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

@Suite struct TensorChecksumsTests {
  private let one = String(repeating: "01", count: 32)
  private let two = String(repeating: "ab", count: 32)

  private func read(_ bytes: [UInt8]) throws -> TensorChecksums {
    let directory = try TemporaryDirectory()
    let path = directory.path("model.gguf.sha256")
    try Data(bytes).write(to: URL(filePath: path))
    return try TensorChecksums(path: path)
  }

  @Test(arguments: ["\n", "\r\n", "\r"]) func everyLineEnd(_ end: String) throws {
    for (mark, separator) in [("", "  "), ("\u{FEFF}", "  "), ("", " *")] {
      let text = mark + "\(one)\(separator)a.weight\(end)\(two.uppercased())\(separator)b\(end)\(end)"
      let sums = try read(Array(text.utf8))
      #expect(sums.sums == ["a.weight": one, "b": two])
    }
    #expect(try read(Array("\(one)  a".utf8)).sums == ["a": one])
  }

  @Test func otherTextIsRefused() throws {
    for text in ["\(one) a", "\(one)  ", "\(one)**a", "\(one.dropLast())g  a", "\(one)  b\n\(two)  b"] {
      let error = #expect(throws: FormatError.self) { try read(Array("\(two)  a\n\(text)\n".utf8)) }
      #expect(error?.description.contains(/line [23]: is not a checksum/) == true)
    }
    for text in ["", "\n", "\r\n\r\n", "\u{FEFF}"] {
      let error = #expect(throws: FormatError.self) { try read(Array(text.utf8)) }
      #expect(error?.description.hasSuffix("model.gguf.sha256: has no checksums") == true)
    }
    let utf16 = "\(one)  a\n".utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
    #expect(throws: TextError.self) { try read(utf16) }
  }
}
