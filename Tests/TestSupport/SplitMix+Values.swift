import Foundation
import Tensors

/// What the scripts that make golden files follow step for step.
extension SplitMix {
  /// Pseudo-random bytes, eight a step, little-endian.
  public mutating func bytes(_ count: Int) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(count + 8)
    while result.count < count {
      let word = next().littleEndian
      withUnsafeBytes(of: word) { result.append(contentsOf: $0) }
    }
    result.removeLast(result.count - count)
    return result
  }

  /// `count` numbers, evenly spread over ±`bound`.
  public mutating func floats(_ count: Int, bound: Float) -> [Float] {
    (0..<count).map { _ in Float.random(in: -bound...bound, using: &self) }
  }

  /// Standard normal, by Box and Muller.
  public mutating func normal() -> Float {
    let u = Double.random(in: Double.leastNonzeroMagnitude..<1, using: &self)
    let v = Double.random(in: 0..<1, using: &self)
    return Float((-2 * log(u)).squareRoot() * cos(2 * Double.pi * v))
  }
}
