import CBlocks

/// A codebook of an i-quant: values for decoding, levels for searching. Built once per type.
struct Codebook: @unchecked Sendable {
  let count: Int
  /// Weights per codeword: 8, or 4 in IQ3.
  let dims: Int
  /// [count][dims]: the values, integers.
  let words: UnsafePointer<Int8>
  /// [count]: the levels, two bits each (three where a codeword has four values), the first lowest.
  let packed: UnsafePointer<UInt16>
  /// The value of each level: eight, or four (of which the last is unused) twice.
  let levels: SIMD8<Float>
  /// The index of the codeword of every key. A key is a codeword's levels as digits in base three (eight).
  private let indices: UnsafePointer<UInt16>
  /// [256]: the base-three number of four levels of two bits (`digits`), and of eight levels that are 0 or 1 (`powers`).
  private let digits: UnsafePointer<UInt16>
  private let powers: UnsafePointer<UInt16>

  init(_ grid: [UInt16], dims: Int, values: [Float]) {
    count = grid.count
    self.dims = dims
    levels = SIMD8((0..<8).map { values[min(dims == 8 ? $0 & 3 : $0, values.count - 1)] })
    let bits = dims == 8 ? 2 : 3
    let words = UnsafeMutablePointer<Int8>.allocate(capacity: grid.count * dims)
    let packed = UnsafeMutablePointer<UInt16>.allocate(capacity: grid.count)
    let digits = UnsafeMutablePointer<UInt16>.allocate(capacity: 256)
    let powers = UnsafeMutablePointer<UInt16>.allocate(capacity: 256)
    for byte in 0..<256 {
      digits[byte] = UInt16((byte & 3) + 3 * (byte >> 2 & 3) + 9 * (byte >> 4 & 3) + 27 * (byte >> 6))
      var (sum, power) = (0, 1)
      for i in 0..<8 {
        sum += (byte >> i & 1) * power
        power *= 3
      }
      powers[byte] = UInt16(sum)
    }
    self.words = UnsafePointer(words)
    self.packed = UnsafePointer(packed)
    self.digits = UnsafePointer(digits)
    self.powers = UnsafePointer(powers)
    let keys = dims == 8 ? Self.ternaryKeys : Self.octalKeys
    let indices = UnsafeMutablePointer<UInt16>.allocate(capacity: keys)
    indices.initialize(repeating: 0, count: keys)
    self.indices = UnsafePointer(indices)
    for (index, word) in grid.enumerated() {
      packed[index] = word
      for i in 0..<dims { words[index * dims + i] = Int8(values[Int(word >> UInt16(bits * i)) & ((1 << bits) - 1)]) }
      indices[key(of: word)] = UInt16(index)
    }
  }

  static let ternaryKeys = 6561
  static let octalKeys = 4096
  var keys: Int { dims == 8 ? Self.ternaryKeys : Self.octalKeys }

  static let iq1 = Codebook(Grid.iq1, dims: 8, values: Grid.iq1Values)
  static let iq2_xxs = Codebook(Grid.iq2_xxs, dims: 8, values: Grid.iq2_xxsValues)
  static let iq2_xs = Codebook(Grid.iq2_xs, dims: 8, values: Grid.iq2_xsValues)
  static let iq2_s = Codebook(Grid.iq2_s, dims: 8, values: Grid.iq2_sValues)
  static let iq3_xxs = Codebook(Grid.iq3_xxs, dims: 4, values: Grid.iq3_xxsValues)
  static let iq3_s = Codebook(Grid.iq3_s, dims: 4, values: Grid.iq3_sValues)

  /// IQ1 adds this to all values of a codeword, or subtracts it.
  static let shiftIQ1: Float = 0.125

  /// One codeword of eight values.
  @inline(__always) func word(_ index: Int) -> SIMD8<Float> { cv_from_i8(cv_load_i8(words + 8 * index)) }

  /// Two codewords of four values.
  @inline(__always) func words(_ first: Int, _ second: Int) -> SIMD8<Float> {
    cv_from_i8(cv_pair_i8(words + 4 * first, words + 4 * second))
  }

  @inline(__always) func key(of packed: UInt16) -> Int {
    dims == 8 ? Int(digits[Int(packed & 255)]) + 81 * Int(digits[Int(packed >> 8)]) : Int(packed)
  }

  /// The key of eight values whose levels are 0, 1 where a value is above `low`, 2 where it is above `high`.
  @inline(__always) func key(_ values: SIMD8<Float>, low: Float, high: Float) -> Int {
    Int(powers[Int(cv_bits_above(values, low))]) + Int(powers[Int(cv_bits_above(values, high))])
  }

  /// The index of a codeword.
  @inline(__always) func index(of packed: UInt16) -> Int { Int(indices[key(of: packed)]) }
}

/// The sign bits of eight weights where seven are stored: the eighth makes their number even.
@inline(__always) func evenSigns(_ seven: UInt8) -> UInt8 {
  seven | (seven.nonzeroBitCount & 1 == 1 ? 0x80 : 0)
}
