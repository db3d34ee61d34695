import Blocks
import Tensors
import TestSupport
import Testing

/// The search of codewords with feedback against plain loops.
@Suite struct CodebookFeedbackTests {
  /// Single precision against double: the part of a target's energy by which costs may differ.
  static let tolerance = 1e-5

  struct Case {
    let targets: [Float]
    let factor: [Float]
    let step: Float
  }

  /// Sub-blocks whose columns are nearly dependent, fairly, and hardly; at scales too small, right and too large.
  static func cases(_ plain: PlainCodebookFeedback, seed: UInt64, count: Int) -> [Case] {
    var random = SplitMix(seed: seed)
    let lists = plain.codebook.lists
    let typical = lists[0].joined().reduce(0) { $0 + abs($1) } / Float(lists[0].count * plain.dims) / plain.unit
    return (0..<count).map { index in
      let factor = plain.factor(&random, damping: [0, 0.2, 1][index % 3])
      let targets = (0..<plain.length).map { _ in random.normal() * 0.02 }
      return Case(targets: targets, factor: factor, step: 0.016 / typical * [0.6, 1, 1.3, 2.4][index % 4])
    }
  }

  /// The targets' energy in the metric that the factor belongs to: the cost of zeros.
  static func energy(_ plain: PlainCodebookFeedback, _ one: Case) -> Double {
    plain.cost(one.targets.map(Double.init), one.factor, from: 0, [Double](repeating: 0, count: plain.length)).cost
  }

  @Test(arguments: CodebookTests.types) func groupsTakeTheBestCodewords(type: GGMLType) throws {
    let plain = PlainCodebookFeedback(type)
    for one in Self.cases(plain, seed: 61, count: 8) {
      let found = CodebookTrial(one.targets, factor: one.factor, as: type, step: one.step)
      let energy = Self.energy(plain, one)
      var (t, total) = (one.targets.map(Double.init), 0.0)
      // IQ1_S has one shift for all octets: the one of the first value, which says whether it is x + 1/8 or x - 1/8.
      let eighths = Int((found.values[0] / one.step * 8).rounded())
      let shift = type == .iq1_s ? (eighths + 16) % 8 == 1 ? 0 : 1 : nil
      for o in 0..<plain.length / 8 {
        let best = plain.bestOctet(t, one.factor, o, step: one.step, shift: shift, likely: true)
        let values = found.values[8 * o..<8 * o + 8].map(Double.init)
        let octet = plain.cost(t, one.factor, from: 8 * o, values)
        #expect(abs(octet.cost - best) < Self.tolerance * energy, "\(type) octet \(o): \(octet.cost), best \(best)")
        t = octet.targets
        total += octet.cost
      }
      #expect(abs(total - Double(found.cost)) < Self.tolerance * energy, "\(type) \(total) \(found.cost)")
      let squares = found.errors.reduce(0.0) { $0 + Double($1) * Double($1) }
      #expect(abs(total - squares) < Self.tolerance * energy, "\(type) \(total) \(squares)")
    }
  }

  /// Few signs are tried. All of them find 2 % less error in the mean, where columns are nearly dependent too.
  @Test(arguments: [GGMLType.iq2_xxs, .iq2_xs, .iq3_xxs, .iq3_s]) func otherSignsAreHardlyBetter(type: GGMLType) {
    let plain = PlainCodebookFeedback(type)
    var (found, best) = (0.0, 0.0)
    for one in Self.cases(plain, seed: 62, count: 8) {
      let t = one.targets.map(Double.init)
      let values = CodebookTrial(one.targets, factor: one.factor, as: type, step: one.step).values.prefix(8)
      found += plain.cost(t, one.factor, from: 0, values.map(Double.init)).cost
      best += plain.bestOctet(t, one.factor, 0, step: one.step, shift: nil, likely: false)
    }
    #expect(found >= best * 0.9999 && found < best * 1.02, "\(type) \(found / best)")
  }

  @Test(arguments: CodebookTests.types) func blocksHoldTheChosenValues(type: GGMLType) {
    let plain = PlainCodebookFeedback(type)
    for one in Self.cases(plain, seed: 63, count: 8) {
      let step = plain.unit * Float(sign: .plus, exponent: (one.step / plain.unit).exponent, significand: 1.25)
      let found = CodebookTrial(one.targets, factor: one.factor, as: type, step: step)
      #expect(Array(FeedbackTests.decoded(found.bytes, as: type).prefix(plain.length)) == found.values)
    }
  }

  @Test(arguments: CodebookTests.types) func wideVectorsFindTheSame(type: GGMLType) {
    let plain = PlainCodebookFeedback(type)
    for one in Self.cases(plain, seed: 64, count: 16) {
      let wide = CodebookTrial(one.targets, factor: one.factor, as: type, step: one.step)
      let narrow = CodebookTrial(one.targets, factor: one.factor, as: type, step: one.step, wide: false)
      #expect(wide.bytes == narrow.bytes && wide.values == narrow.values && wide.cost == narrow.cost)
    }
  }

  /// In the metric of its first octet, no octet costs more than that of the plain encoder, which weighs errors by the
  /// metric's diagonal, at the same scale.
  @Test(arguments: CodebookTests.types) func noCodewordIsWorseThanThePlainEncoders(type: GGMLType) throws {
    let plain = PlainCodebookFeedback(type)
    let n = plain.length
    for one in Self.cases(plain, seed: 65, count: 6) {
      let row = (0..<256).map { one.targets[$0 % n] }
      // The octet's metric is R Rᵀ with R = U⁻¹; its diagonal is what a change of one value costs.
      let weights = (0..<256).map { i -> Float in
        var unit = [Double](repeating: 0, count: n)
        unit[i % 8] = 1
        let values = [Double](repeating: 0, count: 8)
        return Float(plain.cost(unit, one.factor, from: 0, values).cost)
      }
      let bytes = try CodebookTests.encoded(row, weights, as: type)
      let values = Array(FeedbackTests.decoded(bytes, as: type).prefix(n))
      let step = try #require(plain.step(of: values, bytes))
      let t = one.targets.map(Double.init)
      let theirs = plain.cost(t, one.factor, from: 0, values.prefix(8).map(Double.init)).cost
      let found = CodebookTrial(one.targets, factor: one.factor, as: type, step: step).values.prefix(8)
      let ours = plain.cost(t, one.factor, from: 0, found.map(Double.init)).cost
      // IQ1_S has one shift for four octets.
      #expect(ours <= theirs * (type == .iq1_s ? 1.1 : 1.0001), "\(type) \(ours) \(theirs)")
    }
  }
}
