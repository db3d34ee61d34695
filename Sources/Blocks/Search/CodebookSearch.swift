import CBlocks

// The search for a super-block:
//
// 1. Estimate: a rough scale for every sub-block, as if all combinations of levels were codewords.
// 2. Coarse search: eight scales around it, with codewords near the combination that the weights round to. This gives the
//    best real scale of the sub-block, and every octet keeps its best codewords at these eight scales.
// 3. d is chosen among sixteen values by the errors of these codewords.
// 4. Refinement: with d fixed, every sub-block chooses among the integer scales around its real scale, with codewords near
//    the combination that the weights round to. The best d for the result follows in closed form.
//
// The best scale for fixed codewords is Σa / Σb (see CodebookChoice), and they gain (Σa)² / Σb. The stored d is larger, to
// correct shrinkage (see Products).

private let lanes = 8
private let octets = 32

func fitCodebookSuperBlock(_ x: Floats, _ w: Floats, _ shape: CodebookShape) -> CodebookSuperBlock {
  var extreme = cv_splat(0)
  for i in stride(from: 0, to: 256, by: 8) { extreme = cv_max(extreme, cv_abs(cv_load(x + i))) }
  let largest = cv_largest(extreme)
  guard largest > 0 else { return CodebookSuperBlock() }
  return withUnsafeTemporaryAllocation(of: Float.self, capacity: CodebookSearch.size(shape)) { memory in
    guard let base = memory.baseAddress else { return CodebookSuperBlock() }
    var search = CodebookSearch(x, w, shape, base, exponent: min(max(largest.exponent, -100), 100))
    return search.run()
  }
}

struct CodebookSearch {
  let w: Floats
  let shape: CodebookShape
  /// Weights were multiplied by 2^-exponent.
  let unit: Float
  /// Weights scaled to at most 2; their magnitudes where the type stores signs.
  let y: UnsafeMutablePointer<Float>
  let wy: UnsafeMutablePointer<Float>
  /// [octet][lane]: sums of the selected codewords, and their codes. Codewords of eight values: packed levels, and bit 16
  /// for the negative shift. Codewords of four: twice twelve bits of levels, and bit 24 if the sign to flip is one of the
  /// last four weights.
  let a: UnsafeMutablePointer<Float>
  let b: UnsafeMutablePointer<Float>
  let codes: UnsafeMutablePointer<Integers>
  var candidates: CodebookCandidates
  /// The best real scale of each sub-block.
  var fits = InlineArray<16, Float>(repeating: 0)
  /// The shift of each octet; 0 while it is undecided.
  var shifts = InlineArray<32, Float>(repeating: 0)
  /// For both shifts (or halves) of each octet, the keys that it rounds to at two scales.
  var keys = InlineArray<64, (Int32, Int32)>(repeating: (0, 0))
  var block = CodebookSuperBlock()
  /// Whether the search must return the codes of codewords too (refinement only).
  var coding = false

  static func size(_ shape: CodebookShape) -> Int { 5 * 256 + 8 + CodebookCandidates.size(shape) }

  init(
    _ x: Floats, _ w: Floats, _ shape: CodebookShape, _ memory: UnsafeMutablePointer<Float>, exponent: Int
  ) {
    self.w = w
    self.shape = shape
    let aligned = memory + (32 - Int(bitPattern: memory) % 32) % 32 / 4
    codes = UnsafeMutableRawPointer(aligned).assumingMemoryBound(to: Integers.self)
    y = aligned + 256
    wy = y + 256
    a = wy + 256
    b = a + octets * lanes
    candidates = CodebookCandidates(b + octets * lanes, shape)
    unit = Float(sign: .plus, exponent: exponent, significand: 1)
    let inverse = cv_splat(Float(sign: .plus, exponent: -exponent, significand: 1))
    for o in 0..<octets {
      var y = cv_load(x + 8 * o) * inverse
      if !shape.isShifted {
        block.signs[o] = cv_bits_below(y, 0)
        y = cv_abs(y)
      }
      cv_store(self.y + 8 * o, y)
      cv_store(wy + 8 * o, y * cv_load(w + 8 * o))
    }
  }

  mutating func run() -> CodebookSuperBlock {
    var largest: Float = 0
    for j in 0..<shape.subBlocks {
      fits[j] = estimate(j)
      let near: SIMD2<Float> = shape.candidates.coarse > shape.neighbours.width ? SIMD2(0.92, 1.08) : SIMD2(1, 1)
      if fits[j] > 0 { collectKeys(j, near / fits[j]) }
    }
    for j in 0..<shape.subBlocks {
      fits[j] = searchCoarse(j, fits[j])
      largest = max(largest, fits[j])
    }
    guard largest > 0 else { return CodebookSuperBlock() }
    chooseScale(largest)
    refine()
    return block
  }

  @inline(__always) func range(_ j: Int) -> Range<Int> { j * shape.octets..<(j + 1) * shape.octets }

  /// Selects the best codewords of a sub-block around a rough scale, and returns its best scale.
  private mutating func searchCoarse(_ j: Int, _ rough: Float) -> Float {
    guard rough > 0 else {
      for o in range(j) {
        cv_store(a + o * lanes, cv_splat(0))
        cv_store(b + o * lanes, cv_splat(0))
      }
      return 0
    }
    let t = SIMD8<Float>(0.6, 0.75, 0.85, 0.95, 1.05, 1.17, 1.33, 1.6) / cv_splat(rough)
    selectCodewords(j, count: shape.candidates.coarse, t: t)
    let best = bestScale(j)
    if shape.isShifted {
      for o in range(j) { shifts[o] = codes[o][best.lane] >> 16 == 0 ? Codebook.shiftIQ1 : -Codebook.shiftIQ1 }
    }
    return best.scale
  }

  // Methods that do not change the search are inlined, or declared `mutating`: otherwise each call copies the whole struct,
  // which took a tenth of the time of IQ1_M.

  /// The best scale of a sub-block if all combinations of levels were codewords.
  private mutating func estimate(_ j: Int) -> Float {
    let start = j * shape.subBlock
    var energy = cv_splat(0)
    var weight = cv_splat(0)
    var total = cv_splat(0)
    var extreme = cv_splat(0)
    for i in stride(from: start, to: start + shape.subBlock, by: 8) {
      energy = cv_fma(cv_load(y + i), cv_load(wy + i), energy)
      weight += cv_load(w + i)
      total += cv_load(wy + i)
      extreme = cv_max(extreme, cv_abs(cv_load(y + i)))
    }
    let rms = (cv_sum(energy) / cv_sum(weight)).squareRoot()
    guard rms > 0 else { return 0 }
    // Weights that hardly differ round to a combination that is not a codeword; the codeword of lowest levels fits them.
    let mean = cv_sum(total) / cv_sum(weight)
    if !shape.isShifted && mean * mean > 0.9 * rms * rms { return mean / shape.codebook.levels[0] }
    // With heavy tails the largest weight asks for a scale that is too large for most weights.
    let typical = shape.typicalRatio / rms
    let smallest = 0.72 * min(typical, 1.1 * shape.codebook.levels[7] / cv_largest(extreme))
    let ratio = (1.4 * typical / smallest).squareRoot().squareRoot().squareRoot()
    var t = cv_splat(0)
    var next = smallest
    for lane in 0..<lanes {
      t[lane] = next
      next *= ratio
    }
    let (sums, squares) = (a + start, b + start)
    let levels = shape.codebook.levels
    if shape.codebook.dims == 8 {
      cv_rounded_sums3(
        y + start, wy + start, w + start, shape.subBlock, t, levels[0], levels[1], levels[2], sums, squares)
    } else {
      cv_rounded_sums8(
        y + start, wy + start, w + start, shape.subBlock, t, levels[0], levels[1] - levels[0], sums, squares)
    }
    return bestScale(cv_load(sums), cv_load(squares)).scale
  }

  /// The best scale among the lanes: the codewords of one lane belong together.
  @inline(__always) private func bestScale(_ j: Int) -> (scale: Float, lane: Int) {
    var sa = cv_splat(0)
    var sb = cv_splat(0)
    for o in range(j) {
      sa += cv_load(a + o * lanes)
      sb += cv_load(b + o * lanes)
    }
    return bestScale(sa, sb)
  }

  @inline(__always) private func bestScale(_ sa: Lane, _ sb: Lane) -> (scale: Float, lane: Int) {
    let zero = cv_splat(0)
    let scales = sa / cv_max(sb, cv_splat(.leastNormalMagnitude))
    let gains = cv_where_less(zero, sa, sa * scales, zero)
    let largest = cv_largest(gains)
    guard largest > 0 else { return (0, 0) }
    let lane = cv_bits_above(gains, largest.nextDown).trailingZeroBitCount
    return (scales[lane], lane)
  }

  /// Chooses integer scales and codewords for the given d, then the best d for these.
  private mutating func refine() {
    let d = Float(block.d) / unit
    guard d > 0 else {
      block = CodebookSuperBlock()
      return
    }
    coding = true
    var sa: Float = 0
    var sb: Float = 0
    let step = d * shape.step
    for j in 0..<shape.subBlocks {
      let near = integerScales(j, step)
      let scale = step * (2 * near.x + 1)
      if shape.signs == .ownShift && max(scale, fits[j]) > 1.1 * min(scale, fits[j]) {
        for o in range(j) { shifts[o] = 0 }
      }
      let t = SIMD2<Float>(1, 1) / ((near + near + SIMD2(1, 1)) * step)
      collectKeys(j, shape.candidates.refined > shape.neighbours.width ? t : SIMD2(repeating: t.x))
    }
    let top = Float(shape.scaleLevels - 1)
    for j in 0..<shape.subBlocks {
      let around = cv_splat(integerScales(j, step).x) + SIMD8<Float>(0, 1, -1, 2, -2, 3, -3, -4)
      let k = cv_clamp(around, cv_splat(0), cv_splat(top))
      let factors = (k + k + cv_splat(1)) * cv_splat(shape.step)
      let scales = factors * cv_splat(d)
      selectCodewords(j, count: shape.candidates.refined, t: cv_splat(1) / scales)
      var cost = cv_splat(0)
      for o in range(j) {
        cost += scales * cv_fma(scales, cv_load(b + o * lanes), cv_load(a + o * lanes) * cv_splat(-2))
      }
      let choice = min((~cv_bits_above(cost, cv_smallest(cost))).trailingZeroBitCount, lanes - 1)
      block.scales[j] = UInt8(k[choice])
      let factor = factors[choice]
      for o in range(j) {
        sa += factor * a[o * lanes + choice]
        sb += factor * factor * b[o * lanes + choice]
        write(o, UInt32(bitPattern: codes[o][choice]))
      }
    }
    guard sa > 0, sb > 0 else { return }
    var energy = cv_splat(0)
    for o in 0..<octets { energy = cv_fma(cv_load(y + 8 * o), cv_load(wy + 8 * o), energy) }
    block.d = half(Products(xx: cv_sum(energy), xy: sa, yy: sb).correctedScale * unit)
  }

  /// The two integer scales around a sub-block's real scale, the nearer one first.
  @inline(__always) private func integerScales(_ j: Int, _ step: Float) -> SIMD2<Float> {
    let ideal = (fits[j] / step - 1) / 2
    let below = min(max(ideal.rounded(.down), 0), Float(shape.scaleLevels - 2))
    return ideal - below > 0.5 ? SIMD2(below + 1, below) : SIMD2(below, below + 1)
  }
}
