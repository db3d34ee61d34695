/// Text for the splitters: its bytes, and its scalar values.
struct ScalarText {
  let utf8: [UInt8]
  let scalars: [UInt32]

  init(_ text: Substring) {
    let bytes = Array(text.utf8)
    var scalars: [UInt32] = []
    scalars.reserveCapacity(bytes.count)
    var index = 0
    // A Swift string is valid UTF-8: the first byte determines the length.
    while index < bytes.count {
      let first = UInt32(bytes[index])
      let count = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
      var value = count == 1 ? first : first & (0x7F >> UInt32(count))
      for next in index + 1..<index + count { value = value << 6 | UInt32(bytes[next] & 0x3F) }
      scalars.append(value)
      index += count
    }
    utf8 = bytes
    self.scalars = scalars
  }

  /// The number of bytes of a scalar value.
  static func width(_ scalar: UInt32) -> Int {
    scalar < 0x80 ? 1 : scalar < 0x800 ? 2 : scalar < 0x10000 ? 3 : 4
  }
}
