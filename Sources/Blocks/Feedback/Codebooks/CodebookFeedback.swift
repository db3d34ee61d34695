import CBlocks

// The choice of codewords with feedback. A sub-block is encoded group by group: the group's codeword is the best in its
// metric, its error moves the targets of the groups behind it. All scales are tried, each until it costs more than the best.

/// A sub-block's codes at one scale.
struct CodebookPath {
  /// Targets, moved by the errors of earlier groups.
  let t: UnsafeMutablePointer<Float>
  /// Decoded values.
  let v: UnsafeMutablePointer<Float>
  /// Errors e = t - v as they are fed back: of every column after those before it.
  let e: UnsafeMutablePointer<Float>
  /// Errors of a group, and what a scan reads.
  let work: UnsafeMutablePointer<Float>
  var cost: Float = 0
  var scale = 0
  /// As ``CodebookSuperBlock`` has them.
  var codes = InlineArray<8, UInt16>(repeating: 0)
  var signs = InlineArray<4, UInt8>(repeating: 0)

  /// Floats of its memory.
  static let size = 160

  init(_ memory: UnsafeMutablePointer<Float>) {
    (t, v, e, work) = (memory, memory + 40, memory + 80, memory + 120)
  }
}

/// Which sign patterns a group may have.
enum SignRule {
  /// All.
  case free
  /// An even number of negative signs, or an odd one.
  case even
  case odd
}

struct CodebookFeedback {
  let metric: CodebookMetric
  let squares: CodewordSquares
  /// The sub-block.
  let j: Int

  private var table: CodewordTable { metric.table }
  private var dims: Int { metric.dims }
  private var length: Int { metric.length }

  /// The best codeword and signs of group g for the targets at `t` and a scale of 1 / inverse. Signs are those of the
  /// targets, and the same with the likeliest turned: one where all patterns are allowed, two where their number is even.
  @inline(__always)
  func signedCodeword(
    _ g: Int, _ t: UnsafePointer<Float>, inverse: Float, rule: SignRule, work c: UnsafeMutablePointer<Float>
  ) -> (index: Int, signs: UInt8) {
    let m = metric.m(j, g)
    let target = cv_load(t)
    let h = cv_times_rows(t, m, dims)
    var keys = cv_splat(.infinity)
    var signs = cv_bits_below(target, 0)
    if dims == 8 {
      keys = cv_abs(target) * cv_load(metric.diagonal(j) + 8 * g)
    } else {
      keys = cv_front(cv_abs(target) * cv_load(metric.diagonal(j) + 4 * g), keys)
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
    let turned = rule == .free ? signs ^ first : signs ^ first ^ second
    cv_store(c, cv_flip(h * cv_splat(-2 * inverse), signs))
    let (i, k) = (Int(weak.first), Int(weak.second))
    var scan = cv_scan(
      m: table.values, count: table.count, q0: squares.squares(g, pattern: table.pattern(signs), m),
      q1: squares.squares(g, pattern: table.pattern(turned), m), c: c, i: i, j: k, fi: -2 * c[i], fj: -2 * c[k])
    let found =
      dims == 8
      ? rule == .free ? cv_scan8_one(&scan) : cv_scan8_two(&scan)
      : rule == .free ? cv_scan4_one(&scan) : cv_scan4_two(&scan)
    return (Int(found.code & 0xFFFF), found.code >> 16 == 0 ? signs : turned)
  }

  /// The best codeword of a shifted codebook; bit 11 of the code marks the negative shift. `shift` is one of the two
  /// (0, 1), or both are tried where it is nil.
  @inline(__always)
  func shiftedCodeword(
    _ g: Int, _ t: UnsafePointer<Float>, inverse: Float, shift: Int?, work c: UnsafeMutablePointer<Float>
  ) -> UInt16 {
    let m = metric.m(j, g)
    let h = cv_times_rows(t, m, dims) * cv_splat(-2 * inverse)
    cv_store(c, h)
    c[8] = cv_sum(h) * Codebook.shiftIQ1
    var scan = cv_scan(
      m: table.values, count: table.count, q0: squares.squares(g, pattern: shift ?? 0, m),
      q1: squares.squares(g, pattern: shift ?? 1, m), c: c, i: 8, j: 8, fi: -2 * c[8], fj: 0)
    guard let shift else {
      let found = cv_scan9_one(&scan)
      return UInt16(found.code & 0x7FF) | UInt16(found.code >> 16) << 11
    }
    return UInt16(cv_scan8(&scan).code) | UInt16(shift) << 11
  }

  /// Stores the decoded values of group g and the errors to feed back. Returns the cost.
  @inline(__always) func settle(_ g: Int, _ values: Lane, _ path: CodebookPath) -> Float {
    let offset = g * dims
    let error = cv_load(path.t + offset) - values
    cv_store(path.v + offset, values)
    cv_store(path.work, error)
    let fed = cv_times_rows(path.work, metric.r(j, g), dims)
    cv_store(path.e + offset, fed)
    return cv_sum(fed * fed * cv_load(metric.pivots(j) + offset))
  }

  /// Errors to feed back where all values are zero.
  func leaveZeros(
    _ t: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>, _ e: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<length {
      (v[i], e[i]) = (0, t[i])
      for k in i + 1..<max(length, i + 1) { t[k] -= e[i] * metric.u(j)[i * length + k] }
    }
  }

  /// Encodes the targets of `path` at a scale of `step`. Returns false as soon as it costs `bound` or more.
  @inline(__always) func encode(_ path: inout CodebookPath, step: Float, bound: Float, shift: Int?) -> Bool {
    let inverse = 1 / step
    let scale = cv_splat(step)
    path.cost = 0
    for o in 0..<length / 8 {
      let t = path.t + 8 * o
      switch metric.shape.signs {
      case .sharedShift, .ownShift:
        let code = shiftedCodeword(o, t, inverse: inverse, shift: shift, work: path.work)
        let shift = cv_splat(code >> 11 == 0 ? Codebook.shiftIQ1 : -Codebook.shiftIQ1)
        path.codes[o] = code
        path.cost += settle(o, scale * (table.codebook.word(Int(code & 0x7FF)) + shift), path)
      case .free where dims == 8, .even where dims == 8:
        let rule = metric.shape.signs == .free ? SignRule.free : .even
        let found = signedCodeword(o, t, inverse: inverse, rule: rule, work: path.work)
        path.codes[o] = UInt16(found.index)
        path.signs[o] = found.signs
        path.cost += settle(o, cv_flip(scale * table.codebook.word(found.index), found.signs), path)
      case .free:
        path.cost += encodeHalves(o, &path, scale, inverse: inverse, rule: .free)
      case .even:
        encodeEvenHalves(o, &path, scale, inverse: inverse)
      }
      guard path.cost < bound else { return false }
      cv_subtract_rows(path.t, path.e + 8 * o, 8, metric.u(j) + 8 * o * length, length, 8 * o + 8, length)
    }
    return true
  }

  /// Encodes the two groups of octet o under one rule for both. Returns the cost.
  @inline(__always)
  private func encodeHalves(_ o: Int, _ path: inout CodebookPath, _ scale: Lane, inverse: Float, rule: SignRule)
    -> Float
  {
    var cost: Float = 0
    path.signs[o] = 0
    for g in 2 * o...2 * o + 1 {
      let found = signedCodeword(g, path.t + 4 * g, inverse: inverse, rule: rule, work: path.work)
      let signs = found.signs << UInt8(4 * (g & 1))
      path.codes[g] = UInt16(found.index)
      path.signs[o] |= signs
      cost += settle(g, cv_flip(scale * table.codebook.words(found.index, found.index), found.signs), path)
      if g & 1 == 0 {
        cv_subtract_rows(path.t, path.e + 4 * g, 4, metric.u(j) + 4 * g * length, length, 8 * o, 8 * o + 8)
      }
    }
    return cost
  }

  /// Encodes octet o with an even number of signs: the numbers in its two groups are both even or both odd.
  @inline(__always)
  private func encodeEvenHalves(_ o: Int, _ path: inout CodebookPath, _ scale: Lane, inverse: Float) {
    let target = cv_load(path.t + 8 * o)
    let even = encodeHalves(o, &path, scale, inverse: inverse, rule: .even)
    let (v, e) = (cv_load(path.v + 8 * o), cv_load(path.e + 8 * o))
    let (first, second, signs) = (path.codes[2 * o], path.codes[2 * o + 1], path.signs[o])
    cv_store(path.t + 8 * o, target)
    let odd = encodeHalves(o, &path, scale, inverse: inverse, rule: .odd)
    path.cost += min(even, odd)
    guard even <= odd else { return }
    cv_store(path.v + 8 * o, v)
    cv_store(path.e + 8 * o, e)
    (path.codes[2 * o], path.codes[2 * o + 1], path.signs[o]) = (first, second, signs)
  }
}
