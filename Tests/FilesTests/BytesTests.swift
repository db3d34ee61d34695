import Files
import Testing

@Suite struct BytesTests {
  /// FIPS 180-4's examples, and a million times "a".
  @Test(arguments: [
    ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    ("a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
  ])
  func digestsOfKnownMessages(message: String, times: Int, expected: String) {
    var digest = DataDigest()
    for _ in 0..<times { digest.update(Array(message.utf8).span.bytes) }
    #expect(digest.hex() == expected)
  }

  @Test func aDigestContinuesAfterItWasRead() {
    var digest = DataDigest()
    digest.update(Array("a".utf8).span.bytes)
    #expect(digest.bytes() == DataDigest.bytes(of: Array("a".utf8)))
    digest.update(Array("bc".utf8).span.bytes)
    #expect(digest.bytes() == DataDigest.bytes(of: Array("abc".utf8)))
  }

  @Test func nothingIsReadBeyondTheEnd() {
    var reader = ByteReader([9, 0x01, 0x02, 0xFE, 0xFF, 7, 8], in: 1..<6)
    #expect(reader.integer(UInt16.self) == 0x0201)
    #expect(reader.integer(Int32.self) == nil && reader.offset == 3 && reader.remaining == 3)
    #expect(reader.integers(Int16.self, count: 2) == nil && reader.integers(Int16.self, count: .max) == nil)
    #expect(reader.integers(Int16.self, count: 1) == [-2])
    #expect(reader.take(2) == nil && reader.take(-1) == nil)
    #expect(reader.take(1).map(Array.init) == [7] && reader.remaining == 0)
    #expect(!reader.seek(to: 7) && !reader.seek(to: -1) && reader.seek(to: 6) && reader.seek(to: 0))
    #expect(reader.integer(UInt8.self) == 9)
  }

  @Test func integersGoToBytesAndBack() {
    var bytes: [UInt8] = []
    bytes.append(littleEndian: Int64.min + 5)
    bytes.append(littleEndian: UInt16(0xABCD))
    #expect(bytes == [5, 0, 0, 0, 0, 0, 0, 0x80, 0xCD, 0xAB])
    #expect(Int64(littleEndian: bytes[..<8]) == Int64.min + 5)
  }
}
