import Foundation
import Tensors

/// Values that the scripts which make golden files compute in the same way.
extension SplitMix {
  /// Pseudo-random bytes, eight per step, little-endian.
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

  /// `count` uniform numbers from ±`bound`.
  public mutating func floats(_ count: Int, bound: Float) -> [Float] {
    (0..<count).map { _ in Float.random(in: -bound...bound, using: &self) }
  }

  /// A standard normal number, by the Box-Muller transform.
  public mutating func normal() -> Float {
    let u = Double.random(in: Double.leastNonzeroMagnitude..<1, using: &self)
    let v = Double.random(in: 0..<1, using: &self)
    return Float((-2 * log(u)).squareRoot() * cos(2 * Double.pi * v))
  }
}
