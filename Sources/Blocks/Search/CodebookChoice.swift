import CBlocks

// The squared error of codeword g for eight weights x at scale s, minus that of x ≈ 0, is
//   s² b - 2 s a    with a = Σwxg and b = Σwg².
// With t = 1 / s, the best codeword minimises b - 2 t a. a and b are summed once for each candidate; each scale then costs
// one product and one comparison per candidate.

typealias Integers = SIMD8<Int32>

/// The best codewords of an octet (or of half an octet) at eight scales, one in each lane.
struct CodebookChoice {
  /// b - 2 t a.
  var cost: Lane
  var a: Lane
  var b: Lane
  /// Packed levels (see ``CodebookSearch``).
  var code: Integers

  /// Takes the lanes of another choice where `theirs` is below `ours`.
  @inline(__always) mutating func take(_ other: CodebookChoice, where theirs: Lane, below ours: Lane) {
    cost = cv_where_less(theirs, ours, other.cost, cost)
    a = cv_where_less(theirs, ours, other.a, a)
    b = cv_where_less(theirs, ours, other.b, b)
    code = cv_where_less_i32(theirs, ours, other.code, code)
  }

  @inline(__always) static func + (one: CodebookChoice, other: CodebookChoice) -> CodebookChoice {
    CodebookChoice(
      cost: one.cost + other.cost, a: one.a + other.a, b: one.b + other.b, code: one.code | other.code &<< 12)
  }
}

/// Candidate codewords of one octet, or of half an octet, and their sums.
struct CodebookCandidates {
  private let shape: CodebookShape
  private let memory: UnsafeMutablePointer<Float>
  private let capacity: Int
  /// The smallest number of the form 2^n - 1 that no index exceeds.
  private let mask: Int32
  /// The candidates are the first `split` words of one list and, where `count` is larger, the beginning of another.
  private var first: UnsafePointer<UInt16>
  private var second: UnsafePointer<UInt16>
  private var split: Int
  private var count: Int

  static func size(_ shape: CodebookShape) -> Int { 3 * capacity(shape) }

  private static func capacity(_ shape: CodebookShape) -> Int {
    max(shape.candidates.coarse, shape.candidates.refined)
  }

  private var a: UnsafeMutablePointer<Float> { memory }
  private var b: UnsafeMutablePointer<Float> { memory + capacity }
  private var flipped: UnsafeMutablePointer<Float> { memory + 2 * capacity }

  init(_ memory: UnsafeMutablePointer<Float>, _ shape: CodebookShape) {
    self.shape = shape
    self.memory = memory
    capacity = Self.capacity(shape)
    mask = Int32((1 << (Int.bitWidth - (capacity - 1).leadingZeroBitCount)) - 1)
    (first, second) = (shape.codebook.packed, shape.codebook.packed)
    (split, count) = (shape.codebook.count, shape.codebook.count)
  }

  /// Selects the candidates: `count` codewords near one key or near two, or the whole codebook.
  @inline(__always) mutating func take(_ keys: (Int32, Int32), count: Int) {
    self.count = count
    split = count
    guard count < shape.codebook.count else {
      first = shape.codebook.packed
      return
    }
    let neighbours = shape.neighbours
    split = min(count, neighbours.width)
    first = neighbours.words + Int(keys.0) * neighbours.width
    second = neighbours.words + Int(keys.1) * neighbours.width
  }

  /// Sums for eight weights. `shift` is added to the values of codewords.
  @inline(__always) mutating func sum8(_ wy: Floats, _ w: Floats, shift: Float, odd: Bool) {
    let levels = shape.codebook.levels + cv_splat(shift)
    let flipped: Int32 = odd ? 1 : 0
    cv_level_sums8(first, split, wy, w, levels, flipped, a, b)
    if count > split { cv_level_sums8(second, split, wy, w, levels, flipped, a + split, b + split) }
  }

  /// Sums for four weights.
  @inline(__always) mutating func sum4(_ wy: Floats, _ w: Floats) {
    cv_level_sums4(first, split, wy, w, shape.codebook.levels, a, b, flipped)
    if count > split {
      cv_level_sums4(second, split, wy, w, shape.codebook.levels, a + split, b + split, flipped + split)
    }
  }

  /// The best candidates at eight scales 1 / t. Their codes are looked up only where `coded` is true.
  @inline(__always) func best(_ t: Lane, flipped isFlipped: Bool = false, coded: Bool = true) -> CodebookChoice {
    let a = isFlipped ? flipped : a
    let index = cv_least_at(a, b, count, t, mask)
    let (sa, sb) = (cv_pick(a, index), cv_pick(b, index))
    return CodebookChoice(
      cost: cv_fma(sa, t * cv_splat(-2), sb), a: sa, b: sb,
      code: coded ? cv_pick_u16(first, second, Int32(split), index) : Integers(repeating: 0))
  }
}
