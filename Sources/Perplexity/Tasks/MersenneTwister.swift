/// MT19937 (Matsumoto and Nishimura 1998), with which llama-perplexity picks tasks. The same picks make scores on a
/// part of a file comparable.
struct MersenneTwister {
  private static let size = 624
  private var state: [UInt32]
  private var index = size

  init(seed: UInt32) {
    state = [seed]
    state.reserveCapacity(Self.size)
    for i in 1..<Self.size {
      let last = state[i - 1]
      state.append(1_812_433_253 &* (last ^ (last >> 30)) &+ UInt32(i))
    }
  }

  mutating func next() -> UInt32 {
    if index == Self.size {
      for i in 0..<Self.size {
        let y = state[i] & 0x8000_0000 | state[(i + 1) % Self.size] & 0x7FFF_FFFF
        state[i] = state[(i + 397) % Self.size] ^ (y >> 1) ^ (y & 1 == 0 ? 0 : 0x9908_B0DF)
      }
      index = 0
    }
    var y = state[index]
    index += 1
    y ^= y >> 11
    y ^= y << 7 & 0x9D2C_5680
    y ^= y << 15 & 0xEFC6_0000
    return y ^ (y >> 18)
  }

  /// An unbiased number from 0 to bound - 1 (Lemire 2019): the high half of a product, with rejection by the low half,
  /// as in GNU's standard library.
  mutating func below(_ bound: Int) -> Int {
    let range = UInt32(bound)
    var product = UInt64(next()) * UInt64(range)
    if UInt32(truncatingIfNeeded: product) < range {
      let threshold = (0 &- range) % range
      while UInt32(truncatingIfNeeded: product) < threshold { product = UInt64(next()) * UInt64(range) }
    }
    return Int(product >> 32)
  }

  /// `count` distinct numbers below `total`, drawn in single precision. The last number replaces each drawn one.
  static func picks(_ count: Int, of total: Int) -> [Int] {
    var random = MersenneTwister(seed: 1)
    var remaining = Array(0..<total)
    let scale = 1 / (1 + Float(UInt32.max))
    return (0..<min(count, total)).map { _ in
      let index = min(remaining.count - 1, Int(scale * Float(random.next()) * Float(remaining.count)))
      let pick = remaining[index]
      remaining[index] = remaining[remaining.count - 1]
      remaining.removeLast()
      return pick
    }
  }
}
