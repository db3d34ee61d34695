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

  init(_ fit: AffineSuperBlock) {
    bytes = InlineArray(repeating: 0)
    for j in 0..<4 {
      bytes[j] = fit.scale(j) | (fit.scale(j + 4) >> 4) << 6
      bytes[j + 4] = fit.min(j) | (fit.min(j + 4) >> 4) << 6
      bytes[j + 8] = fit.scale(j + 4) & 15 | fit.min(j + 4) << 4
    }
  }
}
