import Blocks
import Tensors
import TestSupport
import Testing

/// No block has a larger error than a block of zeros, for any weights and importance.
@Suite struct WorseThanZeroTests {
  /// Rows whose scales and mins are hard to represent as halves and small integers.
  enum Kind: CaseIterable {
    case normal, outlier, denormal, huge, anyImportance, anyMagnitude, importantAndTiny, sparse, constant, offset, mixed
  }

  private static func power(_ range: ClosedRange<Double>, _ random: inout SplitMix) -> Float {
    let exponent = Float.random(in: Float(range.lowerBound)...Float(range.upperBound), using: &random)
    return Float(sign: .plus, exponent: Int(exponent.rounded(.down)), significand: 1.5)
  }

  private static func row(_ kind: Kind, _ random: inout SplitMix) -> (x: [Float], importance: [Float]) {
    var x = (0..<256).map { _ in random.normal() }
    var importance = [Float](repeating: 1, count: 256)
    let scale = power(-40 ... -13, &random)
    for i in 0..<256 {
      switch kind {
      case .normal: break
      case .outlier: if i == 77 { x[i] = 1e4 }
      case .denormal: x[i] *= scale
      case .huge: x[i] *= 0x1p40 * scale * 0x1p40
      case .anyImportance: importance[i] = power(-26...26, &random)
      case .anyMagnitude:
        importance[i] = power(-26...26, &random)
        x[i] *= power(-20...10, &random)
      case .importantAndTiny:
        let isLarge = Int.random(in: 0..<16, using: &random) == 0
        x[i] *= isLarge ? 1000 : 1e-3
        if isLarge { importance[i] = 1e-6 }
      case .sparse: if i % 32 != 5 { x[i] = 0 }
      case .constant: x[i] = scale * 0x1p12
      case .offset: x[i] = x[i].sign == .plus ? 65000 : -70000
      case .mixed: x[i] *= i % 32 == 0 ? 5e-5 : 3e-7
      }
    }
    return (x, importance)
  }

  static let types = GGMLType.allCases.filter { $0.canEncode && $0.isQuantized }

  @Test(arguments: types) func noBlockIsWorseThanZeros(_ type: GGMLType) throws {
    var random = SplitMix(seed: 9_031)
    // Most rows are for types with mins, which have failed before.
    let isAffine = [GGMLType.q4_1, .q5_1, .q2_K, .q4_K, .q5_K].contains(type)
    for kind in Kind.allCases {
      for _ in 0..<(isAffine ? 60 : 8) {
        let (x, importance) = Self.row(kind, &random)
        let decoded = try roundTrip(x, columns: 256, importance: importance, as: type)
        for start in stride(from: 0, to: 256, by: type.blockLength) {
          var (error, energy) = (0.0, 0.0)
          for i in start..<start + type.blockLength {
            let difference = Double(decoded[i]) - Double(x[i])
            error += Double(importance[i]) * difference * difference
            energy += Double(importance[i]) * Double(x[i]) * Double(x[i])
          }
          #expect(error <= energy * (1 + 1e-6), "\(type) \(kind): \(error) of \(energy)")
        }
      }
    }
  }
}
