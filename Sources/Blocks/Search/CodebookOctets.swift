import CBlocks

// Selection of codewords for the octets of a sub-block.

extension CodebookSearch {
  @inline(__always) private func store(_ choice: CodebookChoice, _ o: Int) {
    cv_store(a + 8 * o, choice.a)
    cv_store(b + 8 * o, choice.b)
    codes[o] = choice.code
  }

  /// Selects the best codewords of a sub-block at eight scales 1 / t, among those near the collected keys.
  mutating func selectCodewords(_ j: Int, count: Int, t: Lane) {
    switch shape.signs {
    case .sharedShift where shifts[range(j).lowerBound] == 0: selectWithSharedShift(j, count: count, t: t)
    case .ownShift where shifts[range(j).lowerBound] == 0:
      for o in range(j) {
        var choice = choice8(o, shift: Codebook.shiftIQ1, count: count, t: t)
        let other = choice8(o, shift: -Codebook.shiftIQ1, count: count, t: t)
        choice.take(other, where: other.cost, below: choice.cost)
        store(choice, o)
      }
    default:
      for o in range(j) {
        store(
          shape.codebook.dims == 8 ? choice8(o, shift: shifts[o], count: count, t: t) : choice4(o, count: count, t: t),
          o)
      }
    }
  }

  /// Collects the keys that the weights of a sub-block round to at two scales 1 / t. Lists of neighbours are scattered in
  /// memory, so they are prefetched here.
  mutating func collectKeys(_ j: Int, _ t: SIMD2<Float>) {
    let neighbours = shape.neighbours
    let codebook = shape.codebook
    let levels = codebook.levels
    let (low, high) = ((levels[0] + levels[1]) * 0.5, (levels[1] + levels[2]) * 0.5)
    for o in range(j) {
      let v = cv_load(y + 8 * o)
      let (v0, v1) = (v * cv_splat(t.x), v * cv_splat(t.y))
      if codebook.dims == 4 {
        let step = levels[1] - levels[0]
        let (k0, k1) = (cv_octal(v0, levels[0], step), cv_octal(v1, levels[0], step))
        keys[2 * o] = (Int32(k0 & 0xFFFF), Int32(k1 & 0xFFFF))
        keys[2 * o + 1] = (Int32(k0 >> 16), Int32(k1 >> 16))
      } else {
        let shift = shape.isShifted ? Codebook.shiftIQ1 : 0
        keys[2 * o] = (
          Int32(codebook.key(v0, low: low + shift, high: high + shift)),
          Int32(codebook.key(v1, low: low + shift, high: high + shift))
        )
        if shape.isShifted {
          keys[2 * o + 1] = (
            Int32(codebook.key(v0, low: low - shift, high: high - shift)),
            Int32(codebook.key(v1, low: low - shift, high: high - shift))
          )
        }
      }
      for key in 2 * o...2 * o + 1 {
        cv_prefetch(neighbours.words + Int(keys[key].0) * neighbours.width)
        cv_prefetch(neighbours.words + Int(keys[key].1) * neighbours.width)
      }
    }
  }

  private mutating func selectWithSharedShift(_ j: Int, count: Int, t: Lane) {
    var others = InlineArray<4, CodebookChoice>(
      repeating: CodebookChoice(cost: t, a: t, b: t, code: Integers(repeating: 0)))
    var (ours, theirs) = (cv_splat(0), cv_splat(0))
    for (k, o) in range(j).enumerated() {
      let choice = choice8(o, shift: Codebook.shiftIQ1, count: count, t: t)
      ours += choice.cost
      store(choice, o)
      others[k] = choice8(o, shift: -Codebook.shiftIQ1, count: count, t: t)
      theirs += others[k].cost
    }
    for (k, o) in range(j).enumerated() {
      var choice = CodebookChoice(cost: ours, a: cv_load(a + 8 * o), b: cv_load(b + 8 * o), code: codes[o])
      choice.take(others[k], where: theirs, below: ours)
      store(choice, o)
    }
  }

  @inline(__always) private func isOdd(_ o: Int) -> Bool {
    shape.signs == .even && block.signs[o].nonzeroBitCount & 1 == 1
  }

  private mutating func choice8(_ o: Int, shift: Float, count: Int, t: Lane) -> CodebookChoice {
    candidates.take(keys[shift < 0 ? 2 * o + 1 : 2 * o], count: count)
    candidates.sum8(wy + 8 * o, w + 8 * o, shift: shift, odd: isOdd(o))
    var choice = candidates.best(t, coded: coding)
    if shift < 0 { choice.code |= Integers(repeating: 1 << 16) }
    return choice
  }

  private mutating func choice4(_ o: Int, count: Int, t: Lane) -> CodebookChoice {
    let odd = isOdd(o)
    candidates.take(keys[2 * o], count: count)
    candidates.sum4(wy + 8 * o, w + 8 * o)
    let even1 = candidates.best(t, coded: coding)
    let odd1 = odd ? candidates.best(t, flipped: true, coded: coding) : even1
    candidates.take(keys[2 * o + 1], count: count)
    candidates.sum4(wy + 8 * o + 4, w + 8 * o + 4)
    let even2 = candidates.best(t, coded: coding)
    guard odd else { return even1 + even2 }
    var choice = odd1 + even2
    var other = even1 + candidates.best(t, flipped: true, coded: coding)
    other.code |= Integers(repeating: 1 << 24)
    choice.take(other, where: other.cost, below: choice.cost)
    return choice
  }

  mutating func write(_ o: Int, _ code: UInt32) {
    let codebook = shape.codebook
    guard codebook.dims == 4 else {
      let index = codebook.index(of: UInt16(truncatingIfNeeded: code))
      block.codes[o] = UInt16(index) | UInt16(code >> 16) << 11
      if isOdd(o) { flipSign(o, 0..<8, codebook.word(index)) }
      return
    }
    let first = codebook.index(of: UInt16(code & 0xFFF))
    let second = codebook.index(of: UInt16(code >> 12 & 0xFFF))
    block.codes[2 * o] = UInt16(first)
    block.codes[2 * o + 1] = UInt16(second)
    if isOdd(o) { flipSign(o, code >> 24 == 0 ? 0..<4 : 4..<8, codebook.words(first, second)) }
  }

  /// Flips the sign that costs least.
  private mutating func flipSign(_ o: Int, _ range: Range<Int>, _ values: SIMD8<Float>) {
    var flipped = range.lowerBound
    var lowest = Float.infinity
    for i in range where wy[8 * o + i] * values[i] < lowest {
      lowest = wy[8 * o + i] * values[i]
      flipped = i
    }
    block.signs[o] ^= 1 << UInt8(flipped)
  }
}
