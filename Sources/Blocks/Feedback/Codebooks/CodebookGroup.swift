import CBlocks

/// The sign patterns that a group may have.
enum SignRule {
  /// All.
  case free
  /// An even number of negative signs, or an odd one.
  case even
  case odd
}

extension CodebookShape {
  /// Rule of the signs of eight columns.
  var rule: SignRule { signs == .even ? .even : .free }
}

/// A group's target, ready to be scanned: the products with its metric and the sign patterns that are tried. These are the
/// signs of the target, and the same with the likeliest flipped: one where all patterns are allowed, two where their number
/// is even or odd.
struct CodebookGroup: ~Copyable {
  /// The first pattern, and the second.
  private let patterns: (UInt8, UInt8)
  /// The shift that is tried alone.
  let shift: Int?
  /// xᵀMx of the target.
  let energy: Float
  private let kind: Kind
  private var arguments: cv_scan

  private enum Kind { case eightTwo, eightOne, shifted, bothShifts, fourTwo, fourOne }

  /// - Parameter c: memory of nine numbers.
  @inline(__always)
  init(
    _ feedback: borrowing CodebookFeedback, _ g: Int, _ t: UnsafePointer<Float>, _ rule: SignRule, shift: Int?,
    _ c: UnsafeMutablePointer<Float>
  ) {
    let (metric, table) = (feedback.metric, feedback.shape.table)
    let dims = metric.dims
    let target = cv_load(t)
    let h = cv_times_rows(t, metric.m(g), dims)
    energy = cv_sum(target * h)
    self.shift = shift
    if table.isShifted {
      patterns = (0, 0)
      cv_store(c, h * cv_splat(-2))
      c[8] = cv_sum(h) * (shift == 1 ? 2 : -2) * Codebook.shiftIQ1
      kind = shift == nil ? .bothShifts : .shifted
      arguments = cv_scan(
        m: table.values, count: table.count, q0: feedback.squares(g, shift ?? 0), q1: feedback.squares(g, shift ?? 1),
        c: c, i: 8, j: 8, fi: -2 * c[8], fj: 0)
      return
    }
    var keys = cv_abs(target) * cv_load(metric.diagonal + dims * g)
    var signs = cv_bits_below(target, 0)
    if dims == 4 {
      keys = cv_front(keys, cv_splat(.infinity))
      signs &= 15
    }
    let weak = cv_two_lowest(keys)
    let (first, second) = (UInt8(1) << UInt8(weak.first), UInt8(1) << UInt8(weak.second))
    let isOdd = signs.nonzeroBitCount & 1 == 1
    switch rule {
    case .free: break
    case .even: if isOdd { signs ^= first }
    case .odd: if !isOdd { signs ^= first }
    }
    let flipped = rule == .free ? signs ^ first : signs ^ first ^ second
    patterns = (signs, flipped)
    cv_store(c, cv_flip(h * cv_splat(-2), signs))
    let (i, k) = (Int(weak.first), Int(weak.second))
    kind = dims == 8 ? rule == .free ? .eightOne : .eightTwo : rule == .free ? .fourOne : .fourTwo
    arguments = cv_scan(
      m: table.values, count: table.count, q0: feedback.squares(g, table.pattern(signs)),
      q1: feedback.squares(g, table.pattern(flipped)), c: c, i: i, j: k, fi: -2 * c[i], fj: -2 * c[k])
  }

  /// The signs of a codeword that a scan found.
  @inline(__always) func signs(_ code: Int32) -> UInt8 { code >> 16 == 0 ? patterns.0 : patterns.1 }

  /// The best codeword at one scale.
  @inline(__always) mutating func best(_ inverse: Float, _ wide: Int32) -> Int32 {
    switch kind {
    case .eightTwo: cv_scan8_two(&arguments, inverse, wide).code
    case .eightOne: cv_scan8_one(&arguments, inverse, wide).code
    case .shifted: cv_scan9(&arguments, inverse, wide).code
    case .bothShifts: cv_scan9_one(&arguments, inverse, wide).code
    case .fourTwo: cv_scan4_two(&arguments, inverse, wide).code
    case .fourOne: cv_scan4_one(&arguments, inverse, wide).code
    }
  }

  /// The lowest costs at up to sixteen scales; ``locate(_:_:_:)`` finds their codewords.
  @inline(__always)
  mutating func scan(
    _ inverses: UnsafePointer<Float>, _ count: Int, _ found: UnsafeMutablePointer<cv_codeword>, _ wide: Int32
  ) {
    switch kind {
    case .eightTwo: cv_scan8_two_all(&arguments, inverses, count, found, wide)
    case .eightOne: cv_scan8_one_all(&arguments, inverses, count, found, wide)
    case .shifted: cv_scan9_all(&arguments, inverses, count, found, wide)
    case .bothShifts: cv_scan9_one_all(&arguments, inverses, count, found, wide)
    case .fourTwo: cv_scan4_two_all(&arguments, inverses, count, found, wide)
    case .fourOne: cv_scan4_one_all(&arguments, inverses, count, found, wide)
    }
  }

  @inline(__always) mutating func locate(_ inverse: Float, _ found: cv_codeword, _ wide: Int32) -> Int32 {
    switch kind {
    case .eightTwo: cv_scan8_two_locate(&arguments, inverse, found, wide)
    case .eightOne: cv_scan8_one_locate(&arguments, inverse, found, wide)
    case .shifted: cv_scan9_locate(&arguments, inverse, found, wide)
    case .bothShifts: cv_scan9_one_locate(&arguments, inverse, found, wide)
    case .fourTwo: cv_scan4_two_locate(&arguments, inverse, found, wide)
    case .fourOne: cv_scan4_one_locate(&arguments, inverse, found, wide)
    }
  }
}
