/// Sums of squares that do not depend on the order of their terms, so that parts of a text can be summed on several
/// machines.
///
/// The square of a float is exact in double precision. It is divided into a multiple of 2^-8 and a remainder, which is
/// rounded to a multiple of 2^-38. Sums of multiples are exact as long as they have at most 53 bits: up to 2^45 for the
/// coarse sum, and for 2^24 tokens for the fine one. A square is rounded by at most 2^-39.
package struct SquareSums: Sendable, Equatable {
  /// Sums of multiples of 2^-8.
  package internal(set) var coarse: [Double]
  /// Sums of multiples of 2^-38.
  package internal(set) var fine: [Double]

  /// Sums of nothing.
  package init(count: Int) {
    coarse = [Double](repeating: 0, count: count)
    fine = coarse
  }

  /// Sums that another run has written.
  ///
  /// - Precondition: both arrays have the same length.
  init(coarse: [Double], fine: [Double]) {
    precondition(coarse.count == fine.count)
    (self.coarse, self.fine) = (coarse, fine)
  }

  /// The number of columns.
  package var count: Int { coarse.count }

  /// The sums in single precision.
  package var values: [Float] { zip(coarse, fine).map { Float($0 + $1) } }

  /// Adds the sums of other tokens.
  package mutating func add(_ other: SquareSums) {
    precondition(count == other.count, "\(count) and \(other.count) columns")
    for index in coarse.indices {
      coarse[index] += other.coarse[index]
      fine[index] += other.fine[index]
    }
  }

  /// Squares as multiples of the two steps. Adding and subtracting a number whose last bit is the step rounds to a
  /// multiple of it.
  @inline(__always)
  static func rounded(_ squares: SIMD8<Double>) -> (coarse: SIMD8<Double>, fine: SIMD8<Double>) {
    let coarseShift = SIMD8<Double>(repeating: 0x1.8p44)
    let fineShift = SIMD8<Double>(repeating: 0x1.8p14)
    let coarse = (squares + coarseShift) - coarseShift
    return (coarse, ((squares - coarse) + fineShift) - fineShift)
  }
}
