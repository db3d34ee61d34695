import Blocks
import Tensors
import TestSupport
import Testing

/// The i-quants' search against the plainest oracle there is: every block that differs in one byte, decoded.
@Suite struct CodebookTests {
  static let types: [GGMLType] = [.iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s]

  static func encoded(_ row: [Float], _ importance: [Float], as type: GGMLType) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: try #require(type.rowBytes(columns: row.count)))
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try encodeRows(row.span, columns: row.count, importance: importance.span, as: type, into: &raw)
    return bytes
  }

  static func error(_ bytes: [UInt8], _ row: [Float], _ importance: [Float], as type: GGMLType) -> Double {
    var decoded = [Float](repeating: 0, count: row.count)
    var span = decoded.mutableSpan
    decodeRows(bytes.span.bytes, as: type, into: &span)
    var sum = 0.0
    for i in 0..<row.count {
      let difference = Double(row[i]) - Double(decoded[i])
      sum += Double(importance[i]) * difference * difference
    }
    return sum
  }

  /// A codeword's index, signs, a scale or d: no single byte of a block can be replaced for a gain worth mentioning.
  /// What remains is that d is refined after the codewords were chosen, and that one byte holds parts of two numbers;
  /// IQ3_S leaves five percent in a block with heavy tails.
  @Test(arguments: types) func noOtherByteIsMuchBetter(type: GGMLType) throws {
    var random = SplitMix64(seed: 31)
    let importance = (0..<256).map { _ in
      let value = random.normal()
      return value * value + 1e-2
    }
    let rows: [[Float]] = [
      (0..<256).map { _ in random.normal() * 0.02 },
      (0..<256).map { _ in
        let value = random.normal()
        return value * abs(value)
      },
    ]
    for row in rows {
      let bytes = try Self.encoded(row, importance, as: type)
      let ours = Self.error(bytes, row, importance, as: type)
      var best = ours
      var changed = bytes
      for at in bytes.indices {
        for value in 0...UInt8.max {
          changed[at] = value
          // Halves that are not finite give an error that is not, and compares as no better.
          let error = Self.error(changed, row, importance, as: type)
          if error < best { best = error }
        }
        changed[at] = bytes[at]
      }
      #expect(ours > 0 && best > ours * (type == .iq3_s ? 0.94 : 0.985), "\(type) \(best / ours)")
    }
  }

  /// Codewords have no constant of every size, so that a constant comes back within what the type's grid allows.
  @Test(arguments: types) func constantsComeBackAsConstants(type: GGMLType) throws {
    let ones = [Float](repeating: 1, count: 256)
    for constant: Float in [0.37, -0.37, 0.02, -5000] {
      let decoded = try roundTrip([Float](repeating: constant, count: 256), columns: 256, importance: ones, as: type)
      let energy = decoded.reduce(0.0) { $0 + Double($1 / constant - 1) * Double($1 / constant - 1) } / 256
      #expect(energy < 0.03, "\(type) \(constant) \(energy)")
    }
  }

  @Test(arguments: types) func largerWeightsBecomeLarger(type: GGMLType) throws {
    var random = SplitMix64(seed: 32)
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
