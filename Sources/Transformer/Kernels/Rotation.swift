import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The cosines and sines of the rotary embedding, [positions, pairs].
struct RotationTable: Sendable {
  let pairs: Int
  let style: Rope.Style
  private let cosines: FloatBuffer
  private let sines: FloatBuffer

  /// Angles are computed in double precision.
  init(_ rope: Rope, factors: [Float]?, positions: Int) {
    let pairs = rope.dimensions / 2
    self.pairs = pairs
    style = rope.style
    cosines = FloatBuffer(count: positions * pairs)
    sines = FloatBuffer(count: positions * pairs)
    let frequencies = rope.frequencies(factors: factors)
    let magnitude = rope.magnitude
    withPointers(cosines.floats, sines.floats) { cosines, sines in
      for position in 0..<positions {
        for pair in 0..<pairs {
          let angle = Double(position) * frequencies[pair]
          cosines.base[position * pairs + pair] = Float(cos(angle) * magnitude)
          sines.base[position * pairs + pair] = Float(sin(angle) * magnitude)
        }
      }
    }
  }

  /// Rotates the first 2 x `pairs` elements of every head in place.
  ///
  /// x is [windows x length, heads, head]. `stride` and `headStride` are the elements from one token and head to the
  /// next; the positions of a window begin at `firstPosition`.
  func apply(
    _ x: FloatView, windows: Int, length: Int, firstPosition: Int, stride: Int, heads: Int, headStride: Int
  ) throws {
    try withPointers(x, cosines.floats, sines.floats) { x, cosines, sines in
      try parallelRanges(windows * length, grain: 64) { _, range in
        for token in range {
          let position = firstPosition + token % length
          let c = cosines.base + position * pairs
          let s = sines.base + position * pairs
          for head in 0..<heads {
            let v = x.base + token * stride + head * headStride
            switch style {
            case .adjacent:
              for i in 0..<pairs {
                let a = v[2 * i]
                let b = v[2 * i + 1]
                v[2 * i] = a * c[i] - b * s[i]
                v[2 * i + 1] = a * s[i] + b * c[i]
              }
            case .halves:
              for i in 0..<pairs {
                let a = v[i]
                let b = v[i + pairs]
                v[i] = a * c[i] - b * s[i]
                v[i + pairs] = a * s[i] + b * c[i]
              }
            }
          }
        }
      }
    }
  }
}
