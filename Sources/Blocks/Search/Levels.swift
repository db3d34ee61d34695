import CBlocks

/// The values that a weight can take, in units of its sub-block's scale.
protocol Levels {
  static var low: Float { get }
  static var high: Float { get }
  /// Candidate clip offsets: how far beyond the last level a sub-block's extreme is mapped.
  static var clipOffsets: ClipOffsets { get }
  /// Number of integer scales that a sub-block tries on either side of the nearest.
  static var moves: Int { get }
  /// Extra cost of an error in a weight as large as the root mean square of 256 weights, relative to one near zero.
  static var magnitudeWeight: Float { get }
  /// Whether d is enlarged to correct shrinkage (see `Products`).
  static var correctsShrinkage: Bool { get }
  static func nearest(_ v: SIMD8<Float>) -> SIMD8<Float>
}

/// Offsets first, first + step, ... (`count` of them) from the low end, in levels; the same plus `shift` from the high end.
struct ClipOffsets {
  let first: Float
  let step: Float
  let count: Int
  var shift: Float = 0
}

/// Integers from -n to n - 1; halves round to even.
protocol WholeLevels: Levels {
  static var n: Float { get }
}

extension Levels {
  static var moves: Int { 1 }
  static var magnitudeWeight: Float { 0 }
  static var correctsShrinkage: Bool { false }
}

extension WholeLevels {
  static var low: Float { -n }
  static var high: Float { n - 1 }
  @inline(__always) static func nearest(_ v: SIMD8<Float>) -> SIMD8<Float> {
    cv_clamp(cv_round(v), cv_splat(-n), cv_splat(n - 1))
  }
}

enum Levels3: WholeLevels {
  static var n: Float { 4 }
  static var correctsShrinkage: Bool { true }
  static var clipOffsets: ClipOffsets { ClipOffsets(first: -0.75, step: 0.25, count: 8) }
}

enum Levels4: WholeLevels {
  static var n: Float { 8 }
  // The squared error is 2 % lower without this, and KL divergence 5 % higher.
  static var magnitudeWeight: Float { 1 }
  static var clipOffsets: ClipOffsets { ClipOffsets(first: -1.5, step: 0.25, count: 10) }
}

enum Levels5: WholeLevels {
  static var n: Float { 16 }
  static var magnitudeWeight: Float { 0.7 }
  static var clipOffsets: ClipOffsets { ClipOffsets(first: -2, step: 0.5, count: 8) }
}

enum Levels6: WholeLevels {
  static var n: Float { 32 }
  static var magnitudeWeight: Float { 0.5 }
  // With many levels, the rounding errors at neighbouring scales are nearly independent: the more candidates, the better.
  static var moves: Int { 4 }
  static var clipOffsets: ClipOffsets { ClipOffsets(first: -2, step: 0.5, count: 6) }
}

/// From -127 to 127. Both ends are alike, so the candidates of the high end are interleaved with those of the low end.
enum Levels8: Levels {
  static var low: Float { -127 }
  static var high: Float { 127 }
  static var clipOffsets: ClipOffsets { ClipOffsets(first: -2, step: 0.5, count: 5, shift: 0.25) }
  @inline(__always) static func nearest(_ v: SIMD8<Float>) -> SIMD8<Float> {
    cv_clamp(cv_round(v), cv_splat(-127), cv_splat(127))
  }
}

/// The uneven levels of IQ4_NL and IQ4_XS.
enum LevelsIQ4: Levels {
  static var low: Float { -127 }
  static var high: Float { 113 }
  static var clipOffsets: ClipOffsets { ClipOffsets(first: -24, step: 4, count: 10) }
  @inline(__always) static func nearest(_ v: SIMD8<Float>) -> SIMD8<Float> { cv_iq4_level(v) }
}

/// Twice the values of E2M1.
enum LevelsMXFP4: Levels {
  static var low: Float { -12 }
  static var high: Float { 12 }
  static var clipOffsets: ClipOffsets { ClipOffsets(first: 0, step: 0, count: 0) }
  @inline(__always) static func nearest(_ v: SIMD8<Float>) -> SIMD8<Float> { cv_mxfp4_level(v) }
}
