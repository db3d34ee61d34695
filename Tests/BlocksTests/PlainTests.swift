import Blocks
import Tensors
import TestSupport
import Testing

/// Every vectorised search against the same search as plain loops, to the last bit.
@Suite struct PlainTests {
  static let types: [GGMLType] = [
    .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_nl, .iq4_xs, .mxfp4,
  ]

  static func plain(_ type: GGMLType, _ x: ArraySlice<Float>, _ w: ArraySlice<Float>) -> [Float] {
    switch type {
    case .q4_0: plainScaledBlocks(.q4, x, w)
    case .q5_0: plainScaledBlocks(.q5, x, w)
    case .q8_0: plainScaledBlocks(.q8, x, w)
    case .iq4_nl: plainScaledBlocks(.iq4, x, w)
    case .q4_1: plainAffineBlock(.q4_1, x, w)
    case .q5_1: plainAffineBlock(.q5_1, x, w)
    case .q3_K: PlainScaledSuperBlock(.q3, n: 32, length: 16, x, w).decoded(correctsShrinkage: true)
    case .q6_K: PlainScaledSuperBlock(.q6, n: 128, length: 16, x, w).decoded()
    case .iq4_xs: PlainScaledSuperBlock(.iq4, n: 32, length: 32, x, w).decoded()
    case .q2_K: PlainAffineSuperBlock(.q2_K, x, w).decoded(correctsShrinkage: true)
    case .q4_K: PlainAffineSuperBlock(.q4_K, x, w).decoded()
    case .q5_K: PlainAffineSuperBlock(.q5_K, x, w).decoded()
    case .mxfp4: plainMXFP4(x, w)
    default: []
    }
  }

  /// Normal weights, heavy tails, one outlier, mostly zeros, constants of either sign, tiny weights.
  static func rows(columns: Int) -> [[Float]] {
    var random = SplitMix(seed: 21)
    func row(_ value: (Int) -> Float) -> [Float] { (0..<columns).map(value) }
    return [
      row { _ in random.normal() * 0.02 }, row { _ in random.normal() },
      row { _ in
        let value = random.normal()
        return value * value * value * 0.01
      },
      row { $0 == 40 ? 900 : random.normal() }, row { $0 % 9 == 0 ? random.normal() : 0 }, row { _ in 0.37 },
      row { _ in -0.37 }, row { _ in random.normal() * 1e-7 }, row { $0 < 64 ? 0 : abs(random.normal()) },
      row { _ in -abs(random.normal()) }, row { $0 % 2 == 0 ? 3e9 : -2e20 }, row { _ in 1e-41 },
    ]
  }

  @Test(arguments: types) func vectorCodeEqualsPlainLoops(type: GGMLType) throws {
    // Eleven blocks of 32: the last group of eight lanes is not full.
    let columns = type.blockLength == 32 ? 352 : 512
    var random = SplitMix(seed: 22)
    let importance = (0..<columns).map { _ in
      let value = random.normal()
      return value * value + 1e-4
    }
    let mean = importance.reduce(0.0) { $0 + Double($1) } / Double(columns)
    let weights = importance.map { Float(Double($0) / mean) }
    for (index, row) in Self.rows(columns: columns).enumerated() {
      for (used, w) in [(importance, weights), ([], [Float](repeating: 1, count: columns))] {
        let fast = try roundTrip(row, columns: columns, importance: used.isEmpty ? nil : used, as: type)
        var expected: [Float] = []
        let isInOctets = [GGMLType.q4_0, .q5_0, .q8_0, .iq4_nl].contains(type)
        let step = isInOctets ? 256 : type.blockLength
        for start in stride(from: 0, to: columns, by: step) {
          let range = start..<min(start + step, columns)
          expected += Self.plain(type, row[range], w[range])
        }
        let different = zip(fast, expected).enumerated().first { $1.0 != $1.1 }
        #expect(different == nil, "\(type), row \(index), column \(different?.offset ?? -1)")
      }
    }
  }

  @Test(arguments: types + [.tq1_0, .tq2_0]) func constantsAreDecodedAsConstants(type: GGMLType) throws {
    for constant: Float in [0.37, -0.37, 0.02, -5000] {
      let decoded = try roundTrip([Float](repeating: constant, count: 256), columns: 256, importance: nil, as: type)
      // With powers of two as scales, 0.375 is the nearest value to 0.37.
      let tolerance: Float = type == .mxfp4 ? 0.2 : 0.01
      #expect(decoded.allSatisfy { abs($0 / constant - 1) < tolerance }, "\(type) \(constant) \(decoded[0])")
    }
  }

  @Test(arguments: types + [.tq1_0, .tq2_0]) func largerWeightsBecomeLarger(type: GGMLType) throws {
    var random = SplitMix(seed: 23)
    let row = (0..<256).map { _ in random.normal() }
    var last = 0.0
    for factor: Float in [0.001, 0.01, 0.013, 0.1, 0.3, 1, 1.5, 2.9, 40] {
      let decoded = try roundTrip(row.map { $0 * factor }, columns: 256, importance: nil, as: type)
      let energy = decoded.reduce(0.0) { $0 + Double($1) * Double($1) }
      #expect(energy > last, "\(type) \(factor)")
      last = energy
    }
  }

  @Test(arguments: [GGMLType.tq1_0, .tq2_0]) func ternaryThresholdsAreNearTheOptimum(type: GGMLType) throws {
    for row in Self.rows(columns: 256).prefix(5) {
      let ones = [Float](repeating: 1, count: 256)
      let decoded = try roundTrip(row, columns: 256, importance: ones, as: type)
      let error = zip(row, decoded).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
      let best = bestTernaryError(row[...], ones[...])
      #expect(error >= best * 0.999)
      let energy = row.reduce(0.0) { $0 + Double($1) * Double($1) }
      #expect(error - best < 0.01 * energy)
    }
  }

  @Test func bfloat16RoundsToTheNearestHalfToEven() throws {
    var random = SplitMix(seed: 24)
    let ties: [Float] = [1 + 0x1p-8, 1 + 0x3p-8, -1 - 0x1p-8, 3e38, 1e-40, 0, -0.0, .greatestFiniteMagnitude]
    // Nineteen: eight at a time, and three more.
    let row = ties + (0..<11).map { _ in random.normal() }
    let decoded = try roundTrip(row, columns: row.count, importance: nil, as: .bf16)
    for (value, result) in zip(row, decoded) {
      let below = Float(bitPattern: value.bitPattern & 0xFFFF_0000)
      let above = Float(bitPattern: (value.bitPattern & 0xFFFF_0000) + 0x1_0000)
      let (down, up) = (abs(Double(value) - Double(below)), abs(Double(above) - Double(value)))
      let isEven = below.bitPattern >> 16 & 1 == 0
      let expected = value == .greatestFiniteMagnitude ? .infinity : down < up || (down == up && isEven) ? below : above
      #expect(result == expected, "\(value)")
    }
  }
}
