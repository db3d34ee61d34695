import Tensors

// Feedback over one sub-block by plain loops in double precision.

struct PlainCodebookFeedback {
  let codebook: PlainCodebook
  /// The least step of a block with d = 1: what decoded codewords are multiples of.
  let unit: Float
  var dims: Int { codebook.dims }
  var length: Int { codebook.subBlock }

  init(_ type: GGMLType) {
    codebook = PlainCodebook(type)
    unit = [.iq1_s: 1, .iq1_m: 1, .iq3_xxs: 0.25, .iq3_s: 1][type] ?? 0.125
  }

  /// An upper triangular factor of a random metric; `damping` 0 makes it nearly singular, 1 leaves little correlation.
  func factor(_ random: inout SplitMix, damping: Double) -> [Float] {
    let n = length
    let mixes = (0..<n * n / 2).map { _ in Double(random.normal()) }
    var h = [Double](repeating: 0, count: n * n)
    for i in 0..<n {
      for j in 0..<n {
        for k in 0..<n / 2 { h[i * n + j] += mixes[k * n + i] * mixes[k * n + j] / Double(n) }
      }
      h[i * n + i] += damping + 0.01
    }
    return Self.inverseFactor(h, n).map(Float.init)
  }

  /// U of H = R R', U = R^-1.
  static func inverseFactor(_ h: [Double], _ n: Int) -> [Double] {
    var (r, u) = (h, [Double](repeating: 0, count: n * n))
    for j in (0..<n).reversed() {
      for i in (0...j).reversed() {
        var sum = h[i * n + j]
        for k in j + 1..<max(n, j + 1) { sum -= r[i * n + k] * r[j * n + k] }
        r[i * n + j] = i == j ? sum.squareRoot() : sum / r[j * n + j]
      }
    }
    for column in 0..<n {
      for row in (0...column).reversed() {
        var sum = row == column ? 1.0 : 0
        for k in row + 1..<max(row + 1, column + 1) { sum -= r[row * n + k] * u[k * n + column] }
        u[row * n + column] = sum / r[row * n + row]
      }
    }
    return u
  }

  /// The cost of octet `o` of targets with the given values, and the targets that its errors leave behind. Errors are
  /// normalised one after the other: y_j = (t_j - v_j) / U_jj, t_k -= y_j U_jk.
  func cost(_ t: [Double], _ u: [Float], from start: Int, _ values: [Double]) -> (cost: Double, targets: [Double]) {
    var (t, cost) = (t, 0.0)
    for (index, value) in values.enumerated() {
      let j = start + index
      let y = (t[j] - value) / Double(u[j * length + j])
      cost += y * y
      for k in j + 1..<max(length, j + 1) { t[k] -= y * Double(u[j * length + k]) }
    }
    return (cost, t)
  }

  /// The least cost of the group at `start` over all codewords, the sign patterns that `allows` takes, and both shifts
  /// (or the given one).
  func best(
    _ t: [Double], _ u: [Float], from start: Int, step: Float, shift: Int? = nil, _ allows: (Int) -> Bool
  ) -> (cost: Double, values: [Double]) {
    var best = (cost: Double.infinity, values: [Double]())
    let hasSigns = codebook.lists.count == 1
    for (index, list) in codebook.lists.enumerated() where shift ?? index == index {
      for word in list {
        let scaled = word.map { Double($0 / unit * step) }
        for signs in 0..<(hasSigns ? 1 << dims : 1) where allows(signs) {
          // The plain sum of squares, stopped as soon as it exceeds the best.
          var cost = 0.0
          var y = [0.0, 0, 0, 0, 0, 0, 0, 0]
          for i in 0..<dims {
            var error = t[start + i] - (signs >> i & 1 == 1 ? -scaled[i] : scaled[i])
            for k in 0..<i { error -= y[k] * Double(u[(start + k) * length + start + i]) }
            y[i] = error / Double(u[(start + i) * length + start + i])
            cost += y[i] * y[i]
            if cost >= best.cost { break }
          }
          guard cost < best.cost else { continue }
          best = (cost, scaled.enumerated().map { signs >> $0.offset & 1 == 1 ? -$0.element : $0.element })
        }
      }
    }
    return best
  }
}

extension PlainCodebookFeedback {
  /// The sign patterns that the search looks at: those of the targets, and the same with the one or two signs turned that
  /// weigh least in the group's metric M = R R', R = U^-1.
  func likelySigns(_ t: [Double], _ u: [Float], from start: Int, rule: Rule) -> Set<Int> {
    var r = [Double](repeating: 0, count: dims * dims)
    for column in 0..<dims {
      for row in (0...column).reversed() {
        var sum = row == column ? 1.0 : 0
        for k in row + 1..<max(row + 1, column + 1) {
          sum -= Double(u[(start + row) * length + start + k]) * r[k * dims + column]
        }
        r[row * dims + column] = sum / Double(u[(start + row) * length + start + row])
      }
    }
    let keys = (0..<dims).map { i in
      abs(t[start + i]) * (i..<dims).reduce(0.0) { $0 + r[i * dims + $1] * r[i * dims + $1] }
    }
    let order = (0..<dims).sorted { keys[$0] < keys[$1] }
    let signs = (0..<dims).reduce(0) { t[start + $1] < 0 ? $0 | 1 << $1 : $0 }
    let patterns = [0, 1 << order[0], 1 << order[1], 1 << order[0] | 1 << order[1]].map { signs ^ $0 }
    switch rule {
    case .free: return Set(patterns.prefix(2))
    case .even: return Set(patterns.filter { $0.nonzeroBitCount % 2 == 0 })
    case .odd: return Set(patterns.filter { $0.nonzeroBitCount % 2 == 1 })
    }
  }

  enum Rule: CaseIterable { case free, even, odd }

  /// The cost of octet `o` with the best codewords under the likely signs or under all.
  func bestOctet(_ t: [Double], _ u: [Float], _ o: Int, step: Float, shift: Int?, likely: Bool) -> Double {
    func group(_ t: [Double], _ start: Int, _ rule: Rule) -> (cost: Double, values: [Double]) {
      let signs = likely ? likelySigns(t, u, from: start, rule: rule) : []
      return best(t, u, from: start, step: step, shift: shift) {
        switch rule {
        case _ where likely && codebook.lists.count == 1: signs.contains($0)
        case .free: true
        case .even: $0.nonzeroBitCount % 2 == 0
        case .odd: $0.nonzeroBitCount % 2 == 1
        }
      }
    }
    if codebook.lists.count == 2 { return group(t, 8 * o, .free).cost }
    if dims == 8 { return group(t, 8 * o, codebook.evenSigns ? .even : .free).cost }
    return (codebook.evenSigns ? [Rule.even, .odd] : [.free]).map { rule in
      let first = group(t, 8 * o, rule)
      let rest = cost(t, u, from: 8 * o, first.values).targets
      return first.cost + group(rest, 8 * o + 4, rule).cost
    }.min()!
  }

  /// The scale of a block's first sub-block, whose values are given.
  func step(of values: [Float], _ bytes: [UInt8]) -> Float? {
    let word = { (offset: Int) in UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8 }
    let bits =
      codebook.type == .iq1_m
      ? word(48) >> 12 | (word(50) >> 8 & 0xF0) | (word(52) >> 4 & 0xF00) | (word(54) & 0xF000) : word(0)
    let d = Float(Float16(bitPattern: bits))
    let levels = Set(codebook.lists.joined().joined().map { abs($0) })
    return (0..<codebook.scaleLevels).map { d * unit * Float(2 * $0 + 1) }.first { step in
      values.allSatisfy { value in levels.contains { abs($0 * step / unit - abs(value)) < 1e-6 * abs(value) } }
    }
  }
}
