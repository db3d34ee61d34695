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
  /// How often the grid is in the codebook: once for each shift.
  let copies: Int
  /// Codewords of eight values are pairs of 81 halves, since every value is one of three: the halves of each copy in
  /// the layout of `lanes`, eleven times eight of them (the last seven repeat the first).
  let halves: UnsafePointer<Float>
  /// [81][88]: zero where two halves make a codeword, infinite where they do not.
  let penalties: UnsafePointer<Float>
  /// [81][88]: the codeword that two halves make.
  let pairs: UnsafePointer<UInt16>

  static let patterns = 81
  static let padded = 88

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
    copies = shifts.count
    let (patterns, padded) = dims == 8 ? (Self.patterns, Self.padded) : (0, 0)
    let halves = UnsafeMutablePointer<Float>.allocate(capacity: shifts.count * padded * 4)
    let penalties = UnsafeMutablePointer<Float>.allocate(capacity: patterns * padded)
    let pairs = UnsafeMutablePointer<UInt16>.allocate(capacity: patterns * padded)
    penalties.initialize(repeating: .infinity, count: patterns * padded)
    pairs.initialize(repeating: 0, count: patterns * padded)
    for (copy, shift) in shifts.enumerated() {
      for c in 0..<padded {
        var digits = c < patterns ? c : 0
        for i in 0..<4 {
          halves[copy * padded * 4 + (c / 8 * 4 + i) * 8 + c % 8] = values[digits % 3] + shift
          digits /= 3
        }
      }
    }
    if dims == 8 {
      for (index, word) in grid.enumerated() {
        let levels = (0..<8).map { Int(word >> UInt16(2 * $0)) & 3 }
        let first = levels[0] + 3 * levels[1] + 9 * levels[2] + 27 * levels[3]
        let second = levels[4] + 3 * levels[5] + 9 * levels[6] + 27 * levels[7]
        penalties[first * padded + second] = 0
        pairs[first * padded + second] = UInt16(index)
      }
    }
    self.halves = UnsafePointer(halves)
    self.penalties = UnsafePointer(penalties)
    self.pairs = UnsafePointer(pairs)
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
