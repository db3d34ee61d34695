import Blocks
import Tensors
import TestSupport
import Testing

/// The i-quants' search against decoded blocks that differ in one byte, and against an exhaustive search.
@Suite struct CodebookTests {
  static let types: [GGMLType] = [.iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s]

  static func encoded(_ row: [Float], _ importance: [Float], as type: GGMLType) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: try #require(type.rowBytes(columns: row.count)))
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try encodeRows(row.span, columns: row.count, importance: importance.span, as: type, into: &raw)
    return bytes
  }

  /// The relative error of the decoded row at its least-squares scale, which encoders exceed on purpose (see
  /// ``scalesCorrectShrinkage``), and the component of the decoded row along the row.
  static func judge(_ bytes: [UInt8], _ row: [Float], _ importance: [Float], as type: GGMLType) -> (
    error: Double, part: Double
  ) {
    var decoded = [Float](repeating: 0, count: row.count)
    var span = decoded.mutableSpan
    decodeRows(bytes.span.bytes, as: type, into: &span)
    var (energy, a, b) = (0.0, 0.0, 0.0)
    for i in 0..<row.count {
      let (x, y, w) = (Double(row[i]), Double(decoded[i]), Double(importance[i]))
      energy += w * x * x
      a += w * x * y
      b += w * y * y
    }
    return (a > 0 ? 1 - a / b * a / energy : 1, a / energy)
  }

  static func importance(seed: UInt64) -> [Float] {
    var random = SplitMix(seed: seed)
    return (0..<256).map { _ in
      let value = random.normal()
      return value * value + 1e-2
    }
  }

  /// Normal weights, heavy tails, an outlier, mostly zeros.
  static func rows(seed: UInt64) -> [[Float]] {
    var random = SplitMix(seed: seed)
    func row(_ value: (Int) -> Float) -> [Float] { (0..<256).map(value) }
    return [
      row { _ in random.normal() * 0.02 },
      row { _ in
        let value = random.normal()
        return value * abs(value)
      },
      row { $0 == 40 ? 9 : random.normal() }, row { $0 % 9 == 0 ? random.normal() : 0 },
      row { random.normal() * ($0 < 128 ? 1 : 0.1) },
    ]
  }

  /// Encoders try few codewords at few scales. An exhaustive search finds 1 % less error in the mean over typical
  /// blocks, and 7 % less where importance differs a thousandfold within a block.
  @Test(arguments: types) func anExhaustiveSearchGainsLittle(type: GGMLType) throws {
    let plain = PlainCodebook(type)
    func ratios(_ importance: [Float], _ rows: [[Float]]) throws -> [Double] {
      try rows.map { row in
        let energy = zip(row, importance).reduce(0.0) { $0 + Double($1.1) * Double($1.0) * Double($1.0) }
        let ours = Self.judge(try Self.encoded(row, importance, as: type), row, importance, as: type).error
        return ours / (plain.error(row, importance) / energy)
      }
    }
    func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    let normal = (42...45).map { Self.rows(seed: $0)[0] }
    let usual = try ratios(Self.importance(seed: 41).map { $0.squareRoot() + 0.5 }, normal)
    let unusual = try ratios(Self.importance(seed: 41), Self.rows(seed: 42))
    #expect(usual.allSatisfy { $0 > 0.98 && $0 < 1.03 } && mean(usual) < 1.01, "\(type) \(usual)")
    #expect(unusual.allSatisfy { $0 > 0.98 && $0 < 1.2 }, "\(type) \(unusual)")
    #expect(mean(unusual) < 1.07, "\(type) \(unusual)")
  }

  /// The decoded row at the least-squares scale has a component of 1 - e; encoders correct three quarters of the
  /// shrinkage.
  @Test(arguments: types + [.q2_K, .q3_K]) func scalesCorrectShrinkage(type: GGMLType) throws {
    let importance = Self.importance(seed: 51)
    for row in Self.rows(seed: 52) {
      let (error, part) = Self.judge(try Self.encoded(row, importance, as: type), row, importance, as: type)
      #expect(abs(part - (1 - error / 4)) < 0.004, "\(type) \(error) \(part)")
    }
  }

  /// No other value of a single byte (a codeword's index, signs, a scale) reduces the error much. A small gain remains,
  /// because a byte has parts of two numbers and few codewords were tried: 4 % for IQ3_XXS in a block with heavy tails.
  @Test(arguments: types) func noOtherByteIsMuchBetter(type: GGMLType) throws {
    let importance = Self.importance(seed: 31)
    for row in Self.rows(seed: 30).prefix(2) {
      let bytes = try Self.encoded(row, importance, as: type)
      let ours = Self.judge(bytes, row, importance, as: type).error
      var best = ours
      var changed = bytes
      for at in bytes.indices {
        for value in 0...UInt8.max {
          changed[at] = value
          // Scales that are not finite give an error that is not finite, which is not less.
          best = min(Self.judge(changed, row, importance, as: type).error, best)
        }
        changed[at] = bytes[at]
      }
      #expect(ours > 0 && best > ours * (type == .iq3_xxs ? 0.955 : 0.985), "\(type) \(best / ours)")
    }
  }

  /// Not all constants have a codeword, so a constant is decoded within the tolerance of the type's grid.
  @Test(arguments: types) func constantsAreDecodedAsConstants(type: GGMLType) throws {
    let ones = [Float](repeating: 1, count: 256)
    for constant: Float in [0.37, -0.37, 0.02, -5000] {
      let decoded = try roundTrip([Float](repeating: constant, count: 256), columns: 256, importance: ones, as: type)
      let energy = decoded.reduce(0.0) { $0 + Double($1 / constant - 1) * Double($1 / constant - 1) } / 256
      #expect(energy < 0.03, "\(type) \(constant) \(energy)")
    }
  }

  @Test(arguments: types) func largerWeightsBecomeLarger(type: GGMLType) throws {
    var random = SplitMix(seed: 32)
    let row = (0..<256).map { _ in random.normal() }
    let ones = [Float](repeating: 1, count: 256)
    var last = 0.0
    for factor: Float in [0.001, 0.01, 0.013, 0.1, 0.3, 1, 1.5, 2.9, 40] {
      let decoded = try roundTrip(row.map { $0 * factor }, columns: 256, importance: ones, as: type)
      let energy = decoded.reduce(0.0) { $0 + Double($1) * Double($1) }
      #expect(energy > last, "\(type) \(factor)")
      last = energy
    }
  }
}
