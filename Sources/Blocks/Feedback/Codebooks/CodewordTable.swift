import CBlocks

/// A codebook's values as floats, coordinate by coordinate, so that codewords fill the lanes of a scan.
struct CodewordTable: @unchecked Sendable {
  let codebook: Codebook
  /// Whether codewords are shifted by ±``Codebook/shiftIQ1`` instead of having signs.
  let isShifted: Bool
  /// [dims][count]; shifted codebooks have a ninth coordinate, 1.
  let values: UnsafePointer<Float>

  var count: Int { codebook.count }
  var dims: Int { codebook.dims }
  /// Sign patterns that differ in more than all their signs, which cancel in a square; or the two shifts.
  var patterns: Int { isShifted ? 2 : 1 << (dims - 1) }

  private init(_ codebook: Codebook, isShifted: Bool) {
    self.codebook = codebook
    self.isShifted = isShifted
    let (dims, count) = (codebook.dims, codebook.count)
    let values = UnsafeMutablePointer<Float>.allocate(capacity: (dims + 1) * count)
    for i in 0..<dims {
      for index in 0..<count { values[i * count + index] = Float(codebook.words[index * dims + i]) }
    }
    (values + dims * count).initialize(repeating: 1, count: count)
    self.values = UnsafePointer(values)
  }

  /// The index of a sign pattern among ``patterns``.
  @inline(__always) func pattern(_ signs: UInt8) -> Int {
    let all = UInt8(truncatingIfNeeded: (1 << dims) - 1)
    return Int(signs >> UInt8(dims - 1) == 0 ? signs : ~signs & all)
  }

  static let iq1 = CodewordTable(.iq1, isShifted: true)
  static let iq2_xxs = CodewordTable(.iq2_xxs, isShifted: false)
  static let iq2_xs = CodewordTable(.iq2_xs, isShifted: false)
  static let iq2_s = CodewordTable(.iq2_s, isShifted: false)
  static let iq3_xxs = CodewordTable(.iq3_xxs, isShifted: false)
  static let iq3_s = CodewordTable(.iq3_s, isShifted: false)
}
