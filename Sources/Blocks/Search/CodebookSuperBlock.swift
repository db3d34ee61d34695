import CVectors

// A super-block of 256 weights in sub-blocks that share a scale: x ≈ (d * step * (2 k + 1)) * g, where g is a codeword of
// eight (or four) values with signs. All i-quants but IQ4 are of this form.
//
// What a codeword g costs eight weights x at the scale s, over x ≈ 0, is
//   s² b - 2 s a    with a = Σwxg and b = Σwg²,
// so with t = 1 / s the best codeword is the one with the least b - 2 t a: a and b are summed once, and then the best
// codeword for any number of scales costs one product and a comparison each. The best scale for fixed codewords is
// Σa / Σb, and they gain (Σa)² / Σb.
//
// Every octet (eight weights) keeps the best codewords of eight scales around its sub-block's: the choice of d and of
// the integer scales is made among these.

struct CodebookShape {
  enum Signs {
    /// A bit for every weight.
    case free
    /// The number of negative signs of an octet is even: where it is odd by nature, one sign is turned.
    case even
    /// No signs: values are shifted, all of a sub-block in the same direction.
    case sharedShift
    /// No signs: the values of each octet are shifted in one direction.
    case ownShift
  }

  let codebook: Codebook
  /// Weights that share a scale.
  let subBlock: Int
  let step: Float
  /// k goes from 0 to scaleLevels - 1.
  let scaleLevels: Int
  let signs: Signs
}

struct CodebookSuperBlock {
  var d: Float16 = 0
  var scales = InlineArray<16, UInt8>(repeating: 0)
  /// One for each codeword, in order. In IQ1 bit 11 stands for the negative shift.
  var codes = InlineArray<64, UInt16>(repeating: 0)
  /// One byte for each octet.
  var signs = InlineArray<32, UInt8>(repeating: 0)
}

private let octets = 32
private let lanes = 8

/// The memory of one search.
private struct Scratch {
  /// Weights scaled to at most 2: magnitudes where the type has signs.
  let y: UnsafeMutablePointer<Float>
  let wy: UnsafeMutablePointer<Float>
  /// [octet][lane]: sums of the candidates.
  let a: UnsafeMutablePointer<Float>
  let b: UnsafeMutablePointer<Float>
  /// Sums of every codeword; three times for the halves of an octet.
  let sums: UnsafeMutablePointer<Float>

  static func size(_ shape: CodebookShape) -> Int { 4 * 256 + max(4 * shape.codebook.count, 8 * Codebook.padded) }

  init(_ memory: UnsafeMutablePointer<Float>) {
    y = memory
    wy = y + 256
    a = wy + 256
    b = a + octets * lanes
    sums = b + octets * lanes
  }
}

func fitCodebookSuperBlock(_ x: Floats, _ w: Floats, _ shape: CodebookShape) -> CodebookSuperBlock {
  var extreme = cv_splat(0)
  for i in stride(from: 0, to: 256, by: 8) { extreme = cv_max(extreme, cv_abs(cv_load(x + i))) }
  let largest = cv_largest(extreme)
  guard largest > 0 else { return CodebookSuperBlock() }
  return withUnsafeTemporaryAllocation(of: Float.self, capacity: Scratch.size(shape)) { memory in
    guard let base = memory.baseAddress else { return CodebookSuperBlock() }
    var search = CodebookSearch(x, w, shape, Scratch(base), exponent: min(max(largest.exponent, -100), 100))
    return search.run()
  }
}

private struct CodebookSearch {
  let w: Floats
  let shape: CodebookShape
  let memory: Scratch
  /// Weights were multiplied by 2^-exponent.
  let unit: Float
  /// [octet][lane]: codewords of the candidates; the first in the low 12 bits, the second above; bit 24 tells that the
  /// sign to be turned is among the last four weights.
  var codes = InlineArray<256, UInt32>(repeating: 0)
  /// The scale that would serve each sub-block best.
  var fits = InlineArray<16, Float>(repeating: 0)
  var block = CodebookSuperBlock()

  var perSubBlock: Int { shape.subBlock / 8 }
  var subBlocks: Int { 256 / shape.subBlock }

  init(_ x: Floats, _ w: Floats, _ shape: CodebookShape, _ memory: Scratch, exponent: Int) {
    self.w = w
    self.shape = shape
    self.memory = memory
    unit = Float(sign: .plus, exponent: exponent, significand: 1)
    let inverse = cv_splat(Float(sign: .plus, exponent: -exponent, significand: 1))
    let signed = shape.signs == .free || shape.signs == .even
    for o in 0..<octets {
      var y = cv_load(x + 8 * o) * inverse
      if signed {
        var bits: UInt8 = 0
        for i in 0..<8 where x[8 * o + i] < 0 { bits |= 1 << UInt8(i) }
        block.signs[o] = bits
        y = cv_abs(y)
      }
      cv_store(memory.y + 8 * o, y)
      cv_store(memory.wy + 8 * o, y * cv_load(w + 8 * o))
    }
  }

  mutating func run() -> CodebookSuperBlock {
    var largest: Float = 0
    for j in 0..<subBlocks {
      fits[j] = harvest(j)
      largest = max(largest, fits[j])
    }
    guard largest > 0 else { return CodebookSuperBlock() }
    chooseScale(largest)
    settle()
    return block
  }

  /// Fills the candidates of a sub-block; returns its best scale.
  private mutating func harvest(_ j: Int) -> Float {
    let start = j * shape.subBlock
    var energy = cv_splat(0)
    var weight = cv_splat(0)
    for i in stride(from: start, to: start + shape.subBlock, by: 8) {
      energy = cv_fma(cv_load(memory.y + i), cv_load(memory.wy + i), energy)
      weight += cv_load(w + i)
    }
    let rms = (cv_sum(energy) / cv_sum(weight)).squareRoot()
    let count = shape.codebook.count
    guard rms > 0 else {
      for o in j * perSubBlock..<(j + 1) * perSubBlock {
        scan(o, 0..<count, t: SIMD4(repeating: 0), lane: 0)
        scan(o, 0..<count, t: SIMD4(repeating: 0), lane: 4)
      }
      return 0
    }
    let reach = shape.reach
    let first = SIMD4<Float>(0.8, 0.94, 1.08, 1.25) * (reach / rms)
    var range = 0..<count
    if shape.signs == .sharedShift {
      var better: (gain: Float, range: Range<Int>) = (-1, range)
      for half in [count / 2..<count, 0..<count / 2] {
        for o in j * perSubBlock..<(j + 1) * perSubBlock { scan(o, half, t: first, lane: 0) }
        let gain = bestScale(j, lanes: 4).gain
        if gain > better.gain { better = (gain, half) }
      }
      range = better.range
      if range.lowerBound > 0 {
        for o in j * perSubBlock..<(j + 1) * perSubBlock { scan(o, range, t: first, lane: 0) }
      }
    } else {
      for o in j * perSubBlock..<(j + 1) * perSubBlock { scan(o, range, t: first, lane: 0) }
    }
    let coarse = bestScale(j, lanes: 4).scale
    guard coarse > 0 else {
      for o in j * perSubBlock..<(j + 1) * perSubBlock { scan(o, range, t: first, lane: 4) }
      return 0
    }
    let second = SIMD4<Float>(0.93, 0.98, 1.03, 1.08) / coarse
    for o in j * perSubBlock..<(j + 1) * perSubBlock { scan(o, range, t: second, lane: 4) }
    return bestScale(j, lanes: 8).scale
  }

  /// The best scale among the candidates that lie in the same lane.
  private func bestScale(_ j: Int, lanes count: Int) -> (scale: Float, gain: Float) {
    var a = cv_splat(0)
    var b = cv_splat(0)
    for o in j * perSubBlock..<(j + 1) * perSubBlock {
      a += cv_load(memory.a + o * lanes)
      b += cv_load(memory.b + o * lanes)
    }
    var best: (scale: Float, gain: Float) = (0, 0)
    for lane in 0..<count where a[lane] > 0 && b[lane] > 0 {
      let scale = a[lane] / b[lane]
      if scale * a[lane] > best.gain { best = (scale, scale * a[lane]) }
    }
    return best
  }

  /// The best codewords of an octet for four values of t.
  private mutating func scan(_ o: Int, _ range: Range<Int>, t: SIMD4<Float>, lane: Int) {
    let codebook = shape.codebook
    // Small codebooks leave too few codewords to a first half for its bound to pay.
    if codebook.dims == 8 && codebook.count >= 1024 { return scanPairs(o, range, t: t, lane: lane) }
    let wy = memory.wy + 8 * o
    let w = w + 8 * o
    let count = range.count
    let a = memory.sums
    let b = a + codebook.count
    let odd = shape.signs == .even && block.signs[o].nonzeroBitCount & 1 == 1
    var t = t
    var least = SIMD4<Float>()
    var index = SIMD4<Int32>()
    if codebook.dims == 8 {
      let words = codebook.lanes + range.lowerBound * 8
      if odd {
        cv_codeword_sums_odd8(words, count, wy, w, a, b)
      } else {
        cv_codeword_sums8(words, count, wy, w, a, b)
      }
      leastOf(a, b, count, &t, &least, &index)
      for k in 0..<4 {
        let c = Int(index[k])
        memory.a[o * lanes + lane + k] = a[c]
        memory.b[o * lanes + lane + k] = b[c]
        codes[o * lanes + lane + k] = UInt32(c + range.lowerBound)
      }
      return
    }
    var sums: [(SIMD4<Float>, SIMD4<Float>, SIMD4<Float>, SIMD4<Int32>)] = []
    for half in 0..<2 {
      cv_codeword_sums4(codebook.lanes, count, wy + 4 * half, w + 4 * half, a, b)
      for turned in 0..<(odd ? 2 : 1) {
        if turned == 1 { cv_codeword_sums_odd4(codebook.lanes, count, wy + 4 * half, w + 4 * half, a, b) }
        leastOf(a, b, count, &t, &least, &index)
        var sa = SIMD4<Float>()
        var sb = SIMD4<Float>()
        for k in 0..<4 {
          sa[k] = a[Int(index[k])]
          sb[k] = b[Int(index[k])]
        }
        sums.append((least, sa, sb, index))
      }
    }
    for k in 0..<4 {
      var (first, second) = (0, 1)
      if odd {
        (first, second) = sums[1].0[k] + sums[2].0[k] <= sums[0].0[k] + sums[3].0[k] ? (1, 2) : (0, 3)
      }
      let at = o * lanes + lane + k
      memory.a[at] = sums[first].1[k] + sums[second].1[k]
      memory.b[at] = sums[first].2[k] + sums[second].2[k]
      codes[at] = UInt32(sums[first].3[k]) | UInt32(sums[second].3[k]) << 12 | (second == 3 ? 1 << 24 : 0)
    }
  }

  /// The same for large codebooks of eight values. A codeword's score is the sum of its halves' scores, so that all
  /// scores follow from those of 81 halves twice over, and a first half that is too bad even with the best second half
  /// is passed over with all its codewords. Where one sign must be turned it lies in the first half or in the second.
  private mutating func scanPairs(_ o: Int, _ range: Range<Int>, t: SIMD4<Float>, lane: Int) {
    let codebook = shape.codebook
    let count = Codebook.padded
    let (wy, w) = (memory.wy + 8 * o, w + 8 * o)
    let (a1, a2, b1, b2) = (memory.sums, memory.sums + count, memory.sums + 2 * count, memory.sums + 3 * count)
    let (odd1, odd2, s1, s2) = (b2 + count, b2 + 2 * count, b2 + 3 * count, b2 + 4 * count)
    let odd = shape.signs == .even && block.signs[o].nonzeroBitCount & 1 == 1
    let grid = codebook.count / codebook.copies
    var best = SIMD4<Float>(repeating: .infinity)
    for copy in 0..<codebook.copies where range.contains(copy * grid) {
      let halves = codebook.halves + copy * count * 4
      cv_codeword_sums4(halves, count, wy, w, a1, b1)
      cv_codeword_sums4(halves, count, wy + 4, w + 4, a2, b2)
      if odd {
        cv_codeword_sums_odd4(halves, count, wy, w, odd1, b1)
        cv_codeword_sums_odd4(halves, count, wy + 4, w + 4, odd2, b2)
      }
      for turned in 0..<(odd ? 2 : 1) {
        let first = odd && turned == 0 ? odd1 : a1
        let second = odd && turned == 1 ? odd2 : a2
        var (p, q): (Int32, Int32) = (-1, 0)
        for k in 0..<4 {
          _ = cv_half_scores(first, b1, count, t[k], s1)
          let least = cv_half_scores(second, b2, count, t[k], s2)
          // The codeword of the last scale is often the best again, and a bound in any case.
          var bound = best[k]
          var found = p
          if p >= 0 { bound = min(bound, s1[Int(p)] + s2[Int(q)]) }
          let score = cv_least_pair(s1, Codebook.patterns, s2, count, least, codebook.penalties, bound, &found)
          if found < 0 || !(score < best[k]) { continue }
          if score < bound || found != p {
            q = cv_least_second(s2, count, codebook.penalties + Int(found) * count)
          }
          p = found
          best[k] = score
          let at = o * lanes + lane + k
          memory.a[at] = first[Int(p)] + second[Int(q)]
          memory.b[at] = b1[Int(p)] + b2[Int(q)]
          codes[at] = UInt32(copy * grid + Int(codebook.pairs[Int(p) * count + Int(q)]))
        }
      }
    }
  }

  private func leastOf(
    _ a: UnsafeMutablePointer<Float>, _ b: UnsafeMutablePointer<Float>, _ count: Int, _ t: inout SIMD4<Float>,
    _ least: inout SIMD4<Float>, _ index: inout SIMD4<Int32>
  ) {
    withUnsafeMutablePointer(to: &t) { t in
      withUnsafeMutablePointer(to: &least) { least in
        withUnsafeMutablePointer(to: &index) { index in
          cv_least4(
            a, b, count, UnsafeRawPointer(t).assumingMemoryBound(to: Float.self),
            UnsafeMutableRawPointer(least).assumingMemoryBound(to: Float.self),
            UnsafeMutableRawPointer(index).assumingMemoryBound(to: Int32.self))
        }
      }
    }
  }

  /// The halves that lie nearest to real values of d, as they count for the scaled weights.
  private func rounded(_ d: SIMD8<Float>) -> (halves: SIMD8<Float16>, values: SIMD8<Float>) {
    var halves = SIMD8<Float16>()
    var values = SIMD8<Float>()
    for lane in 0..<8 {
      halves[lane] = half(d[lane] * unit)
      values[lane] = Float(halves[lane]) / unit
    }
    return (halves, values)
  }

  /// Chooses d among sixteen values: all sub-blocks take the better of the two scales around their own.
  private mutating func chooseScale(_ largest: Float) {
    let zero = cv_splat(0)
    var best = Float.infinity
    let top = cv_splat(Float(shape.scaleLevels - 1))
    let base = cv_splat(largest / (shape.step * Float(2 * shape.scaleLevels - 1)))
    for ratios in [
      SIMD8<Float>(0.9, 0.92, 0.94, 0.96, 0.98, 1, 1.02, 1.04), SIMD8(1.06, 1.08, 1.1, 1.12, 1.14, 1.17, 1.2, 1.24),
    ] {
      let (halves, d) = rounded(base * ratios)
      let step = d * cv_splat(shape.step)
      let inverse = cv_splat(1) / cv_max(step, cv_splat(.leastNormalMagnitude))
      var total = zero
      for j in 0..<subBlocks {
        let ideal = (cv_splat(fits[j]) * inverse - cv_splat(1)) * cv_splat(0.5)
        let near = cv_clamp(cv_round(ideal - cv_splat(0.5)), zero, top)
        let next = cv_min(near + cv_splat(1), top)
        let s0 = step * (near + near + cv_splat(1))
        let s1 = step * (next + next + cv_splat(1))
        var cost0 = zero
        var cost1 = zero
        for o in j * perSubBlock..<(j + 1) * perSubBlock {
          var least0 = cv_splat(.infinity)
          var least1 = least0
          for lane in 0..<lanes {
            let a = cv_splat(-2 * memory.a[o * lanes + lane])
            let b = cv_splat(memory.b[o * lanes + lane])
            least0 = cv_min(least0, s0 * cv_fma(s0, b, a))
            least1 = cv_min(least1, s1 * cv_fma(s1, b, a))
          }
          cost0 += least0
          cost1 += least1
        }
        total += cv_min(cost0, cost1)
      }
      let least = cv_smallest(total)
      if least < best {
        best = least
        for lane in 0..<8 where total[lane] == least {
          block.d = halves[lane]
          break
        }
      }
    }
  }

  /// Chooses the scales and codewords for d, then the best d for these.
  private mutating func settle() {
    let d = Float(block.d) / unit
    guard d > 0 else {
      block = CodebookSuperBlock()
      return
    }
    var sa: Float = 0
    var sb: Float = 0
    for j in 0..<subBlocks {
      let ideal = (fits[j] / (d * shape.step) - 1) / 2
      let near = min(max(ideal.rounded(), 1), Float(shape.scaleLevels - 2))
      let factors = SIMD4<Float>(2 * near + 1, 2 * near - 1, 2 * near + 3, 2 * near + 1)
      let scales = factors * (d * shape.step)
      let t = SIMD4<Float>(repeating: 1) / scales
      var costs = SIMD4<Float>()
      for o in j * perSubBlock..<(j + 1) * perSubBlock {
        var range = 0..<shape.codebook.count
        if shape.signs == .sharedShift {
          let half = shape.codebook.count / 2
          range = Int(codes[o * lanes + 4]) < half ? 0..<half : half..<2 * half
        }
        scan(o, range, t: t, lane: 0)
        for k in 0..<3 {
          costs[k] += scales[k] * (scales[k] * memory.b[o * lanes + k] - 2 * memory.a[o * lanes + k])
        }
      }
      var choice = 0
      for k in 1..<3 where costs[k] < costs[choice] { choice = k }
      block.scales[j] = UInt8((factors[choice] - 1) / 2)
      let factor = factors[choice] * shape.step
      for o in j * perSubBlock..<(j + 1) * perSubBlock {
        sa += factor * memory.a[o * lanes + choice]
        sb += factor * factor * memory.b[o * lanes + choice]
        write(o, codes[o * lanes + choice])
      }
    }
    guard sa > 0, sb > 0 else { return }
    let refined = half(sa / sb * unit)
    let value = Float(refined) / unit
    if value * (value * sb - 2 * sa) < d * (d * sb - 2 * sa) { block.d = refined }
  }

  private mutating func write(_ o: Int, _ code: UInt32) {
    let codebook = shape.codebook
    let first = Int(code & 0xFFF)
    let second = Int(code >> 12 & 0xFFF)
    if codebook.dims == 8 {
      block.codes[o] = UInt16(first)
    } else {
      block.codes[2 * o] = UInt16(first)
      block.codes[2 * o + 1] = UInt16(second)
    }
    guard shape.signs == .even, block.signs[o].nonzeroBitCount & 1 == 1 else { return }
    let values = codebook.dims == 8 ? codebook.word(first) : codebook.words(first, second)
    let range = codebook.dims == 8 ? 0..<8 : code >> 24 == 0 ? 0..<4 : 4..<8
    var turned = range.lowerBound
    var least = Float.infinity
    for i in range where memory.wy[8 * o + i] * values[i] < least {
      least = memory.wy[8 * o + i] * values[i]
      turned = i
    }
    block.signs[o] ^= 1 << UInt8(turned)
  }
}

extension CodebookShape {
  /// What the root mean square of a sub-block usually is in units of its scale.
  fileprivate var reach: Float {
    switch signs {
    case .sharedShift, .ownShift: 0.75
    case .free, .even: codebook.dims == 8 ? 19 : codebook.count == 256 ? 22 : 6
    }
  }
}
