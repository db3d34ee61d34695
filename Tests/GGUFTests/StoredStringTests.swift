import Foundation
import GGUF
import Tensors
import TestSupport
import Testing

/// Strings of a GGUF file keep all bytes, also those that are not UTF-8.
@Suite struct StoredStringTests {
  /// Bytes of Windows code pages, cut characters, surrogates, and of the scalars that represent bytes.
  static let strings: [[UInt8]] = [
    [], Array("größer 数".utf8), [0xFF], Array("J".utf8) + [0xFC] + Array("rgen".utf8), [0xE6, 0x95],
    [0xED, 0xA0, 0x80],
    Array("\u{10FE80}\u{10FEFF}".utf8), [0xF4, 0x8F, 0xBA], [0xFC] + Array("\u{10FEFC}".utf8) + [0xFC],
    [0x41, 0, 0xC0, 0x80],
  ]

  @Test(arguments: strings) func everyByteComesBack(_ bytes: [UInt8]) {
    let text = String(stored: bytes)
    #expect(text.storedBytes == bytes)
    if let valid = String(validating: bytes, as: UTF8.self) { #expect(valid.asStored == text) }
  }

  @Test func stringsAreEqualWhereTheirBytesAre() {
    var random = SplitMix(seed: 5)
    var seen: [String: [UInt8]] = [:]
    for _ in 0..<20_000 {
      let bytes = (0..<Int.random(in: 0...6, using: &random)).map { _ in
        [0x41, 0xC3, 0xA9, 0xF4, 0x8F, 0xBA, 0xBB, 0x80, 0xBF, 0xFF][Int.random(in: 0..<10, using: &random)] as UInt8
      }
      let text = String(stored: bytes)
      #expect(text.storedBytes == bytes)
      #expect(seen[text] == nil || seen[text] == bytes)
      seen[text] = bytes
    }
  }

  @Test func readableTextHasReplacementCharacters() {
    #expect(String(stored: [0x4A, 0xFC, 0x72]).readable == "J\u{FFFD}r")
    #expect("größer".readable == "größer")
  }

  /// Keys, tensor names, values and elements, through shards and back.
  @Test func filesKeepTheirBytes() throws {
    let directory = try TemporaryDirectory()
    var header = RawHeader(tensors: 2, keys: 3)
    func append(_ bytes: [UInt8]) {
      header.append(UInt64(bytes.count))
      header.bytes += bytes
    }
    append([0x6B, 0xFF])
    header.append(UInt32(8))
    append(Array("J".utf8) + [0xFC])
    header.append("general.alignment")
    header.append(UInt32(4))
    header.append(UInt32(64))
    header.append("list")
    header.append(UInt32(9))
    header.append(UInt32(8))
    header.append(UInt64(Self.strings.count))
    Self.strings.forEach(append)
    for (name, offset) in [([0x74, 0xFE], 0), ([0x74, 0xFF], 64)] as [([UInt8], UInt64)] {
      append(name)
      header.append(UInt32(1))
      header.append(UInt64(4))
      header.append(UInt32(0))
      header.append(offset)
    }
    while header.bytes.count % 64 != 0 { header.bytes.append(0) }
    // Two tensors of 16 bytes, each padded with zeros.
    for first in [UInt8(0), 64] { header.bytes += (first..<first + 16) + [UInt8](repeating: 0, count: 48) }
    try Data(header.bytes).write(to: directory.url.appending(path: "a.gguf"))

    let model = try GGUFFile(path: directory.path("a.gguf"))
    #expect(model.metadata.keys.first?.readable == "k\u{FFFD}")
    #expect(model.metadata.optionalStrings("list")?.map(\.storedBytes) == Self.strings)
    #expect(model.tensors.map(\.name.storedBytes) == [[0x74, 0xFE], [0x74, 0xFF]])
    let shards = try GGUFSplit.write(model, to: directory.path("b.gguf"), limit: .tensors(1))
    #expect(shards.count == 2)
    try GGUFSplit.write(try GGUFFile(path: shards[0]), to: directory.path("c.gguf"), limit: nil)
    #expect(try Data(contentsOf: directory.url.appending(path: "c.gguf")) == Data(header.bytes))
    // Checksums name tensors by their bytes.
    let sums = try Verification(model).run()
    try sums.write(to: directory.path("a.sha256"), overwrite: false)
    #expect(try TensorChecksums(path: directory.path("a.sha256")) == sums)
    #expect(sums.count == 2)
  }
}
