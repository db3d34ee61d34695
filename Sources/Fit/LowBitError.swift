import Foundation
import Tensors

/// The relative error of a tensor at about 1.8 bits, at which worths were measured: coefficient = worth / error.
///
/// The error is that of IQ1_M where the tensor can have it. Otherwise (rows that are not multiples of 256, no importance) it
/// is that of the measured type with the fewest bits, times the ratio of the two types' mean errors over the demo model's
/// tensors (Documentation/benchmarks.md): the ratio hardly depends on the tensor.
enum LowBitError {
  /// Mean errors with importance, the types with the fewest bits first.
  private static let means: [(type: GGMLType, error: Double)] = [
    (.iq1_m, 1.7247e-1), (.iq1_s, 2.1092e-1), (.iq2_xxs, 1.0185e-1), (.iq2_xs, 7.6147e-2), (.iq2_s, 5.4983e-2),
    (.q2_K, 6.4644e-2), (.iq3_xxs, 2.8074e-2), (.q3_K, 1.9990e-2), (.iq3_s, 1.5277e-2), (.iq4_xs, 5.2001e-3),
    (.iq4_nl, 5.1324e-3), (.q4_0, 6.4918e-3), (.q4_K, 4.6161e-3), (.q4_1, 4.4768e-3), (.q5_0, 1.5676e-3),
    (.q5_K, 1.1392e-3), (.q5_1, 1.0531e-3), (.q6_K, 2.6309e-4), (.q8_0, 2.3247e-5),
  ]

  /// The mean error of a type; nil where it was not measured.
  static func mean(of type: GGMLType) -> Double? { means.first { $0.type == type }?.error }

  /// The types that have a mean error.
  static let types = means.map(\.type)

  /// - Parameter errors: errors of a tensor, by type name. Errors of zero, as of a tensor of zeros, are ignored.
  /// - Returns: the demo model's mean error if nothing is known.
  static func estimate(_ errors: [String: Double]) -> Double {
    for (type, mean) in means {
      if let error = errors[type.name], error > 0 { return error * means[0].error / mean }
    }
    return means[0].error
  }
}
