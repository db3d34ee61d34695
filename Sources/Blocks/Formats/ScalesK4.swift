// Eight 6-bit scales and eight 6-bit mins in 12 bytes, as Q4_K and Q5_K hold them.
//
//   0-3   low 6 bits: scales 0-3; high 2 bits: bits 4-5 of scales 4-7
//   4-7   low 6 bits: mins 0-3;   high 2 bits: bits 4-5 of mins 4-7
//   8-11  low nibble: bits 0-3 of scales 4-7; high nibble: bits 0-3 of mins 4-7

struct ScalesK4: BitwiseCopyable {
  private var bytes: InlineArray<12, UInt8>

  subscript(j: Int) -> (scale: UInt8, min: UInt8) {
    if j < 4 { return (bytes[j] & 63, bytes[j + 4] & 63) }
    return (bytes[j + 4] & 15 | (bytes[j - 4] >> 6) << 4, bytes[j + 4] >> 4 | (bytes[j] >> 6) << 4)
  }

  init(_ stored: SuperBlockScales) {
    bytes = InlineArray(repeating: 0)
    for j in 0..<4 {
      let (scale0, scale4) = (UInt8(stored.scales[j]), UInt8(stored.scales[j + 4]))
      let (min0, min4) = (UInt8(stored.mins[j]), UInt8(stored.mins[j + 4]))
      bytes[j] = scale0 | (scale4 >> 4) << 6
      bytes[j + 4] = min0 | (min4 >> 4) << 6
      bytes[j + 8] = scale4 & 15 | min4 << 4
    }
  }
}
