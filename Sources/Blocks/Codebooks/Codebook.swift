import CVectors

/// A codebook of an i-quant with its values laid out for decoding and for searching. Made once per type.
struct Codebook: @unchecked Sendable {
  let count: Int
  /// Weights that a codeword stands for: 8, or 4 in IQ3.
  let dims: Int
  /// [count][dims]: the values, whole numbers.
  let words: UnsafePointer<Int8>
  /// [count / 8][dims][8]: eight codewords side by side.
  let lanes: UnsafePointer<Float>

  /// Every value is `values[level] + shift`; shifts are added after one another, so that the codebook holds the grid
  /// once for each.
  init(_ grid: [UInt16], dims: Int, values: [Float], shifts: [Float] = [0]) {
    count = grid.count * shifts.count
    self.dims = dims
    let words = UnsafeMutablePointer<Int8>.allocate(capacity: grid.count * dims)
    let lanes = UnsafeMutablePointer<Float>.allocate(capacity: count * dims)
    let bits = dims == 8 ? 2 : 3
    for (index, word) in grid.enumerated() {
      for i in 0..<dims {
        let value = values[Int(word >> UInt16(bits * i)) & ((1 << bits) - 1)]
        words[index * dims + i] = Int8(value)
        for (copy, shift) in shifts.enumerated() {
          let c = copy * grid.count + index
          lanes[(c / 8 * dims + i) * 8 + c % 8] = value + shift
        }
      }
    }
    self.words = UnsafePointer(words)
    self.lanes = UnsafePointer(lanes)
  }

  static let iq1 = Codebook(Grid.iq1, dims: 8, values: Grid.iq1Values, shifts: [shiftIQ1, -shiftIQ1])
  static let iq2_xxs = Codebook(Grid.iq2_xxs, dims: 8, values: Grid.iq2_xxsValues)
  static let iq2_xs = Codebook(Grid.iq2_xs, dims: 8, values: Grid.iq2_xsValues)
  static let iq2_s = Codebook(Grid.iq2_s, dims: 8, values: Grid.iq2_sValues)
  static let iq3_xxs = Codebook(Grid.iq3_xxs, dims: 4, values: Grid.iq3_xxsValues)
  static let iq3_s = Codebook(Grid.iq3_s, dims: 4, values: Grid.iq3_sValues)

  /// What IQ1 adds to all values of a codeword, or takes from them.
  static let shiftIQ1: Float = 0.125

  /// One codeword of eight values.
  @inline(__always) func word(_ index: Int) -> SIMD8<Float> { cv_from_i8(cv_load_i8(words + 8 * index)) }

  /// Two codewords of four values.
  @inline(__always) func words(_ first: Int, _ second: Int) -> SIMD8<Float> {
    cv_from_i8(cv_pair_i8(words + 4 * first, words + 4 * second))
  }
}

/// The sign bits of eight weights where seven are stored: the eighth makes their number even.
@inline(__always) func evenSigns(_ seven: UInt8) -> UInt8 {
  seven | (seven.nonzeroBitCount & 1 == 1 ? 0x80 : 0)
}
