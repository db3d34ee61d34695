import Quantize
import Testing

@Suite struct ByteSizeTests {
  @Test(arguments: [
    ("190GB", 190_000_000_000), ("177GiB", 190_052_302_848), ("3.0MB", 3_000_000), ("1024B", 1024),
    ("1.5 kB", 1500), ("2kib", 2048), ("0.5TB", 500_000_000_000),
  ])
  func unitsAreDecimalOrBinary(text: String, bytes: Int) throws {
    #expect(try ByteSize(text).bytes == bytes)
  }

  @Test(arguments: ["", "GB", "12", "12 parsecs", "-3MB", "1.2.3GB", "99999999999TB"])
  func invalidSizesAreRefused(text: String) {
    #expect(throws: ByteSizeError.self) { try ByteSize(text) }
  }
}
