import CBlocks

// The choice of codewords with feedback. A sub-block is encoded group by group: each group gets the best codeword in its
// metric, and its error moves the targets of the groups behind it.

/// A sub-block's metric and the search in it.
struct CodebookFeedback {
  let shape: CodebookShape
  let metric: CodebookSubBlock
  private let squares: CodewordSquares
  private let table: CodewordTable
  /// Nonzero to use vectors of sixteen.
  private let wide: Int32

  private var dims: Int { metric.dims }
  private var length: Int { metric.length }
  /// Steps of a super-block's scales: d times an odd number.
  private func factor(_ k: Int) -> Float { Float(2 * k + 1) }

  init(_ shape: CodebookShape, _ metric: CodebookSubBlock, _ squares: CodewordSquares, wide: Bool = true) {
    (self.shape, self.metric, self.squares, table) = (shape, metric, squares, shape.table)
    self.wide = wide ? cv_has_wide_tiles() : 0
  }

  /// Encodes targets at some scales and keeps the best paths.
  ///
  /// - Parameters:
  ///   - base: the cost of the earlier sub-blocks of this state.
  ///   - step: the minimum scale.
  ///   - beam: keeps the paths; each is left as soon as it costs more than those that are kept.
  func extend(
    _ targets: UnsafePointer<Float>, base: Float, parent: Int, step: Float, _ scales: CodebookScales,
    into beam: inout CodebookBeam
  ) {
    guard dims == 8 else {
      for i in 0..<scales.count {
        let k = scales.indices[i]
        let path = beam.free
        path.pointee.begin(targets, length, parent: parent, scale: k, cost: base)
        if encodeHalves(path, step: step * factor(k), bound: beam.bound, beam.tails) { beam.keep(octets: length / 8) }
      }
      return
    }
    if shape.signs == .sharedShift {
      for shift in 0..<2 { extend(targets, base, parent, step, scales, shift: shift, into: &beam) }
    } else {
      extend(targets, base, parent, step, scales, shift: nil, into: &beam)
    }
  }

  /// The first group's target does not depend on the scale, so that its products serve all scales; and its costs show the
  /// order in which scales are tried.
  private func extend(
    _ targets: UnsafePointer<Float>, _ base: Float, _ parent: Int, _ step: Float, _ scales: CodebookScales, shift: Int?,
    into beam: inout CodebookBeam
  ) {
    var inverses = InlineArray<16, Float>(repeating: 0)
    var found = InlineArray<16, cv_codeword>(repeating: cv_codeword(cost: 0, code: 0))
    var costs = InlineArray<16, Float>(repeating: 0)
    let count = scales.count
    for i in 0..<count { inverses[i] = 1 / (step * factor(scales.indices[i])) }
    var coefficients = InlineArray<16, Float>(repeating: 0)
    withUnsafeMutablePointer(to: &coefficients) { coefficients in
      let c = UnsafeMutableRawPointer(coefficients).assumingMemoryBound(to: Float.self)
      var group = CodebookGroup(self, 0, targets, shape.rule, shift: shift, c)
      withUnsafePointer(to: &inverses) { inverses in
        withUnsafeMutablePointer(to: &found) { found in
          group.scan(
            UnsafeRawPointer(inverses).assumingMemoryBound(to: Float.self), count,
            UnsafeMutableRawPointer(found).assumingMemoryBound(to: cv_codeword.self), wide)
        }
      }
      // The cost of the group, up to rounding: its target's energy and the codeword's part.
      let energy = group.energy
      for i in 0..<count {
        let scale = step * factor(scales.indices[i])
        costs[i] = scale * scale * found[i].cost + energy
      }
      for _ in 0..<count {
        var i = 0
        for other in 1..<max(1, count) where costs[other] < costs[i] { i = other }
        // The cost of the group is exact up to rounding, which its energy bounds.
        guard !(base + costs[i] - 1e-5 * energy + beam.tails[0] >= beam.bound) else { break }
        costs[i] = .infinity
        let k = scales.indices[i]
        let path = beam.free
        path.pointee.begin(targets, length, parent: parent, scale: k, cost: base)
        let scale = step * factor(k)
        let code = group.locate(inverses[i], found[i], wide)
        store(group, code, 0, path, cv_splat(scale))
        if encodeGroups(path, step: scale, bound: beam.bound, beam.tails, shift: shift) {
          beam.keep(octets: length / 8)
        }
      }
    }
  }

  /// Encodes the groups of eight columns from the second on.
  @inline(__always)
  private func encodeGroups(
    _ path: UnsafeMutablePointer<CodebookPath>, step: Float, bound: Float, _ tails: InlineArray<4, Float>, shift: Int?
  ) -> Bool {
    let inverse = 1 / step
    for o in 1..<length / 8 {
      guard !(path.pointee.cost + tails[o - 1] >= bound) else { return false }
      path.pointee.partial[o - 1] = path.pointee.cost
      feed(path, 8 * o - 8)
      var group = CodebookGroup(self, o, path.pointee.t + 8 * o, shape.rule, shift: shift, path.pointee.work)
      store(group, group.best(inverse, wide), o, path, cv_splat(step))
    }
    path.pointee.partial[length / 8 - 1] = path.pointee.cost
    return !(path.pointee.cost >= bound)
  }

  /// Feeds the errors of the octet at `start` into the columns behind it.
  @inline(__always) private func feed(_ path: UnsafeMutablePointer<CodebookPath>, _ start: Int) {
    cv_subtract_rows(
      path.pointee.t, path.pointee.e + start, 8, metric.u + start * length, length, start + 8, length)
  }

  /// Stores a group's codeword, its decoded values and errors.
  @inline(__always)
  private func store(
    _ group: borrowing CodebookGroup, _ code: Int32, _ o: Int, _ path: UnsafeMutablePointer<CodebookPath>, _ scale: Lane
  ) {
    let index = Int(code & 0xFFFF)
    if table.isShifted {
      let isNegative = group.shift == 1 || code >> 16 == 1
      path.pointee.codes[o] = UInt16(index) | (isNegative ? 1 << 11 : 0)
      let shift = cv_splat(isNegative ? -Codebook.shiftIQ1 : Codebook.shiftIQ1)
      settle(o, scale * (table.codebook.word(index) + shift), path)
    } else {
      let signs = group.signs(code)
      path.pointee.codes[o] = UInt16(index)
      path.pointee.signs[o] = signs
      settle(o, cv_flip(scale * table.codebook.word(index), signs), path)
    }
  }

  /// Stores the decoded values of group g and the errors to feed back, and adds the cost.
  @inline(__always) private func settle(_ g: Int, _ values: Lane, _ path: UnsafeMutablePointer<CodebookPath>) {
    let offset = g * dims
    let error = cv_load(path.pointee.t + offset) - values
    cv_store(path.pointee.v + offset, values)
    cv_store(path.pointee.work, error)
    let fed = cv_times_rows(path.pointee.work, metric.r(g), dims)
    cv_store(path.pointee.e + offset, fed)
    path.pointee.cost += cv_sum(fed * fed * cv_load(metric.pivots + offset))
  }

  /// Encodes groups of four columns, two of which share eight signs.
  @inline(__always)
  private func encodeHalves(
    _ path: UnsafeMutablePointer<CodebookPath>, step: Float, bound: Float, _ tails: InlineArray<4, Float>
  ) -> Bool {
    for o in 0..<length / 8 {
      if o > 0 {
        guard !(path.pointee.cost + tails[o - 1] >= bound) else { return false }
        path.pointee.partial[o - 1] = path.pointee.cost
        feed(path, 8 * o - 8)
      }
      if shape.rule == .free {
        encodeHalves(o, path, step: step, rule: .free)
      } else {
        encodeEvenHalves(o, path, step: step)
      }
    }
    path.pointee.partial[length / 8 - 1] = path.pointee.cost
    return !(path.pointee.cost >= bound)
  }

  /// Encodes the two groups of octet o under one rule for both.
  @inline(__always)
  private func encodeHalves(_ o: Int, _ path: UnsafeMutablePointer<CodebookPath>, step: Float, rule: SignRule) {
    let (inverse, scale) = (1 / step, cv_splat(step))
    path.pointee.signs[o] = 0
    for g in 2 * o...2 * o + 1 {
      var group = CodebookGroup(self, g, path.pointee.t + 4 * g, rule, shift: nil, path.pointee.work)
      let code = group.best(inverse, wide)
      let (index, signs) = (Int(code & 0xFFFF), group.signs(code))
      path.pointee.codes[g] = UInt16(index)
      path.pointee.signs[o] |= signs << UInt8(4 * (g & 1))
      settle(g, cv_flip(scale * table.codebook.words(index, index), signs), path)
      if g & 1 == 0 {
        cv_subtract_rows(
          path.pointee.t, path.pointee.e + 4 * g, 4, metric.u + 4 * g * length, length, 8 * o, 8 * o + 8)
      }
    }
  }

  /// Encodes octet o with an even number of signs: the numbers in its two groups are both even or both odd.
  @inline(__always)
  private func encodeEvenHalves(_ o: Int, _ path: UnsafeMutablePointer<CodebookPath>, step: Float) {
    let (before, target) = (path.pointee.cost, cv_load(path.pointee.t + 8 * o))
    encodeHalves(o, path, step: step, rule: .even)
    let even = path.pointee.cost
    let (v, e) = (cv_load(path.pointee.v + 8 * o), cv_load(path.pointee.e + 8 * o))
    let (first, second, signs) = (path.pointee.codes[2 * o], path.pointee.codes[2 * o + 1], path.pointee.signs[o])
    cv_store(path.pointee.t + 8 * o, target)
    path.pointee.cost = before
    encodeHalves(o, path, step: step, rule: .odd)
    guard !(path.pointee.cost < even) else { return }
    path.pointee.cost = even
    cv_store(path.pointee.v + 8 * o, v)
    cv_store(path.pointee.e + 8 * o, e)
    (path.pointee.codes[2 * o], path.pointee.codes[2 * o + 1], path.pointee.signs[o]) = (first, second, signs)
  }

  /// Errors to feed back where all values are zero.
  func leaveZeros(
    _ t: UnsafeMutablePointer<Float>, _ v: UnsafeMutablePointer<Float>, _ e: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<length {
      (v[i], e[i]) = (0, t[i])
      for k in i + 1..<max(length, i + 1) { t[k] -= e[i] * metric.u[i * length + k] }
    }
  }

  /// The squares of group g under a pattern of signs or with a shift.
  @inline(__always) func squares(_ g: Int, _ pattern: Int) -> UnsafePointer<Float> {
    squares(g, pattern: pattern, metric.m(g))
  }
}
