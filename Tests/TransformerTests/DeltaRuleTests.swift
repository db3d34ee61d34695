import Foundation
import Tensors
import TestSupport
import Testing
import Transformer

/// The gated delta rule in chunks, compared with the recurrence token by token in double precision.
@Suite struct DeltaRuleTests {
  /// For single precision in another order of additions. The norm divides by a head's output, which may be small.
  static let tolerance = 2e-4

  private func example(
    length: Int, size: Int, keyHeads: Int, valueHeads: Int, isGrouped: Bool, seed: UInt64
  ) -> DeltaExample {
    var random = SplitMix(seed: seed)
    func values(_ count: Int, _ spread: Float = 1) -> [Float] { (0..<count).map { _ in random.normal() * spread } }
    var example = DeltaExample()
    (example.windows, example.length, example.size) = (2, length, size)
    (example.keyHeads, example.valueHeads, example.isGrouped) = (keyHeads, valueHeads, isGrouped)
    let channels = (2 * keyHeads + valueHeads) * size
    example.mixed = values(2 * length * channels)
    example.rates = values(2 * length * 2 * valueHeads)
    example.gates = values(2 * length * valueHeads * size)
    example.kernel = values(4 * channels, 0.5)
    example.a = values(valueHeads).map { -exp($0) }
    example.dt = values(valueHeads, 0.5)
    example.norm = values(size, 0.2).map { 1 + $0 }
    return example
  }

  /// The recurrence as in the paper, one token after the other.
  private func plain(_ e: DeltaExample) -> [Double] {
    let (size, channels) = (e.size, (2 * e.keyHeads + e.valueHeads) * e.size)
    func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }
    var out = [Double](repeating: 0, count: e.gates.count)
    for window in 0..<e.windows {
      for head in 0..<e.valueHeads {
        let keyHead = e.isGrouped ? head / (e.valueHeads / e.keyHeads) : head % e.keyHeads
        var state = [[Double]](repeating: [Double](repeating: 0, count: size), count: size)
        for token in 0..<e.length {
          let row = window * e.length + token
          func convolved(_ first: Int) -> [Double] {
            (first..<first + size).map { channel in
              var sum = 0.0
              for tap in 0..<e.convolution where token + tap + 1 >= e.convolution {
                sum +=
                  Double(e.mixed[(row + tap + 1 - e.convolution) * channels + channel])
                  * Double(e.kernel[tap * channels + channel])
              }
              return silu(sum)
            }
          }
          func unit(_ x: [Double]) -> [Double] {
            let length = (x.reduce(0) { $0 + $1 * $1 } + Double(e.epsilon)).squareRoot()
            return x.map { $0 / length }
          }
          let q = unit(convolved(keyHead * size)).map { $0 / Double(size).squareRoot() }
          let k = unit(convolved((e.keyHeads + keyHead) * size))
          let v = convolved((2 * e.keyHeads + head) * size)
          let rates = Array(e.rates[row * 2 * e.valueHeads..<(row + 1) * 2 * e.valueHeads])
          let decay = exp(Double(e.a[head]) * log1p(exp(Double(rates[head]) + Double(e.dt[head]))))
          let rate = 1 / (1 + exp(-Double(rates[e.valueHeads + head])))
          for i in 0..<size { for j in 0..<size { state[i][j] *= decay } }
          let change = (0..<size).map { j in rate * (v[j] - (0..<size).reduce(0) { $0 + state[$1][j] * k[$1] }) }
          for i in 0..<size { for j in 0..<size { state[i][j] += k[i] * change[j] } }
          let o = (0..<size).map { j in (0..<size).reduce(0) { $0 + state[$1][j] * q[$1] } }
          let scale = 1 / (o.reduce(0) { $0 + $1 * $1 } / Double(size) + Double(e.epsilon)).squareRoot()
          for j in 0..<size {
            let index = (row * e.valueHeads + head) * size + j
            out[index] = o[j] * scale * Double(e.norm[j]) * silu(Double(e.gates[index]))
          }
        }
      }
    }
    return out
  }

  @Test(
    arguments: [
      (1, 8, 1, 1, false), (3, 8, 2, 4, false), (64, 8, 1, 2, true), (65, 16, 2, 2, false), (150, 12, 2, 6, true),
      (200, 16, 2, 6, false),
    ], ProductEngines.all.map(\.name))
  func chunksAgreeWithTheRecurrence(_ shape: (Int, Int, Int, Int, Bool), engine: String) throws {
    let example = example(
      length: shape.0, size: shape.1, keyHeads: shape.2, valueHeads: shape.3, isGrouped: shape.4,
      seed: UInt64(shape.0))
    let expected = plain(example)
    for chunk in [1, 16, 64] {
      let found = try example.outputs(chunk: chunk, engine: ProductEngines.named(engine))
      #expect(relativeDifference(found, expected) < Self.tolerance, "chunks of \(chunk)")
    }
  }
}
