import Blocks
import Tensors

// An exhaustive search for the i-quants: every codeword at every scale for many values of d.
//
// Unlike the other plain searches it is not that of the encoder, which tries few codewords, but a lower bound of the
// error. Tests limit the difference.

struct PlainCodebook {
  let type: GGMLType
  let subBlock: Int
  let dims: Int
  let scaleLevels: Int
  /// The number of negative signs of eight weights is even.
  let evenSigns: Bool
  /// Signs are part of the codewords. All codewords of a sub-block are from one of two lists.
  let sharedShift: Bool
  /// The decoded weights of a block with d = 1 and the smallest scale, by codeword; in IQ1 twice, for both shifts.
  let lists: [[[Float]]]

  init(_ type: GGMLType) {
    self.type = type
    (subBlock, dims, scaleLevels) =
      switch type {
      case .iq1_s: (32, 8, 8)
      case .iq1_m: (16, 8, 8)
      case .iq2_xs, .iq2_s: (16, 8, 16)
      case .iq2_xxs: (32, 8, 16)
      default: (32, 4, 16)
      }
    evenSigns = [.iq2_xxs, .iq2_xs, .iq3_xxs].contains(type)
    sharedShift = type == .iq1_s
    let count = [.iq1_s: 2048, .iq1_m: 2048, .iq2_xs: 512, .iq2_s: 1024, .iq3_s: 512][type] ?? 256
    let dims = dims
    lists = (type == .iq1_s || type == .iq1_m ? [0, 1] : [0]).map { shift in
      (0..<count).map { Self.codeword(type, index: $0, shift: shift, dims: dims) }
    }
  }

  /// The first codeword of a block that is built for it.
  private static func codeword(_ type: GGMLType, index: Int, shift: Int, dims: Int) -> [Float] {
    var block = [UInt8](repeating: 0, count: type.blockBytes)
    let (low, high) = (UInt8(index & 255), UInt8(index >> 8))
    if type == .iq1_m {
      block[0] = low
      block[32] = high | UInt8(shift << 3)
      // d = 1 is 0x3C00: its nibbles, the lowest first, are the upper ones of four words.
      (block[53], block[55]) = (0xC0, 0x30)
    } else {
      (block[1], block[2]) = (0x3C, low)
      switch type {
      case .iq1_s: (block[34], block[35]) = (high, UInt8(shift << 7))
      case .iq2_xs: block[3] = high
      case .iq2_s, .iq3_s: block[66] = high
      default: break
      }
    }
    var decoded = [Float](repeating: 0, count: 256)
    var span = decoded.mutableSpan
    decodeRows(block.span.bytes, as: type, into: &span)
    return Array(decoded.prefix(dims))
  }

  /// The smallest weighted error of 256 weights that this search finds.
  func error(_ x: [Float], _ w: [Float]) -> Double {
    let energy = zip(x, w).reduce(0.0) { $0 + Double($1.1) * Double($1.0) * Double($1.0) }
    let octets = (0..<32).map { octet in sums(x[8 * octet..<8 * octet + 8], w[8 * octet..<8 * octet + 8]) }
    let perSubBlock = subBlock / 8
    let groups = (0..<256 / subBlock).map { Array(octets[$0 * perSubBlock..<($0 + 1) * perSubBlock]) }
    let rms = Float((energy / w.reduce(0.0) { $0 + Double($1) }).squareRoot())
    let typical = lists[0].reduce(0) { $0 + $1.reduce(0) { $0 + abs($1) } / Float(dims) } / Float(lists[0].count)
    var largest: Float = 0
    for group in groups {
      var best: (scale: Float, cost: Float) = (0, 0)
      for step in -24...24 {
        let scale = rms / typical * Float(1.06).power(step)
        let cost = least(group, scale).cost
        if cost < best.cost { best = (scale, cost) }
      }
      largest = max(largest, best.scale)
    }
    var best = 0.0
    for step in -4...10 {
      let d = largest / Float(2 * scaleLevels - 1) * Float(1.025).power(step)
      var (a, b) = (0.0, 0.0)
      for group in groups {
        var choice: (cost: Float, a: Float, b: Float) = (.infinity, 0, 0)
        var factor: Float = 0
        for k in 0..<scaleLevels {
          let one = least(group, d * Float(2 * k + 1))
          if one.cost < choice.cost { (choice, factor) = (one, Float(2 * k + 1)) }
        }
        a += Double(factor * choice.a)
        b += Double(factor * factor * choice.b)
      }
      if a > 0 && b > 0 { best = max(best, a * a / b) }
    }
    return energy - best
  }

  /// Σwxg and Σwg² of eight weights for every list and codeword. Codewords of four values form pairs. The best pair
  /// consists of the best halves, except for a flipped sign, so the sums are kept with and without it.
  private struct Sums {
    /// [list or half][codeword]
    var a: [[Float]] = []
    var flipped: [[Float]] = []
    var b: [[Float]] = []
    var isOdd = false
  }

  private func sums(_ x: ArraySlice<Float>, _ w: ArraySlice<Float>) -> Sums {
    var sums = Sums()
    let signed = lists.count == 2
    let values = signed ? Array(x) : x.map { abs($0) }
    let weights = Array(w)
    sums.isOdd = evenSigns && x.count { $0 < 0 } % 2 == 1
    for start in stride(from: 0, to: 8, by: dims) {
      for list in lists {
        var (a, flipped, b): ([Float], [Float], [Float]) = ([], [], [])
        for word in list {
          var (sum, square, smallest): (Float, Float, Float) = (0, 0, .infinity)
          for i in 0..<dims {
            let product = weights[start + i] * values[start + i] * word[i]
            sum += product
            square += weights[start + i] * word[i] * word[i]
            smallest = min(smallest, product)
          }
          a.append(sum)
          flipped.append(sum - 2 * smallest)
          b.append(square)
        }
        sums.a.append(a)
        sums.flipped.append(flipped)
        sums.b.append(b)
      }
    }
    return sums
  }

  private typealias Choice = (cost: Float, a: Float, b: Float)

  private func least(_ group: [Sums], _ scale: Float) -> Choice {
    func best(_ a: [Float], _ b: [Float]) -> Choice {
      var best: Choice = (.infinity, 0, 0)
      for c in a.indices {
        let cost = scale * (scale * b[c] - 2 * a[c])
        if cost < best.cost { best = (cost, a[c], b[c]) }
      }
      return best
    }
    func sum(_ choices: [Choice]) -> Choice { choices.reduce((0, 0, 0)) { ($0.0 + $1.0, $0.1 + $1.1, $0.2 + $1.2) } }
    func less(_ one: Choice, _ other: Choice) -> Choice { one.cost <= other.cost ? one : other }
    if sharedShift {
      return less(sum(group.map { best($0.a[0], $0.b[0]) }), sum(group.map { best($0.a[1], $0.b[1]) }))
    }
    return sum(
      group.map { one in
        if lists.count == 2 { return less(best(one.a[0], one.b[0]), best(one.a[1], one.b[1])) }
        if dims == 8 { return best(one.isOdd ? one.flipped[0] : one.a[0], one.b[0]) }
        let even = (0..<2).map { best(one.a[$0], one.b[$0]) }
        guard one.isOdd else { return sum(even) }
        let odd = (0..<2).map { best(one.flipped[$0], one.b[$0]) }
        return less(sum([odd[0], even[1]]), sum([even[0], odd[1]]))
      })
  }
}

extension Float {
  fileprivate func power(_ exponent: Int) -> Float {
    var result: Float = 1
    for _ in 0..<abs(exponent) { result *= self }
    return exponent < 0 ? 1 / result : result
  }
}
