import Tensors

/// The memory layout of a block: ggml's fields in ggml's order, without padding.
///
/// Elements go through unsafe pointers: a block is a fixed number of floats, and the rows around it were checked by
/// ``decodeRows(_:as:into:)`` and ``encodeRows(_:columns:importance:as:into:)``.
///
/// For blocks of more than 32 bytes. Swift 6.3 hands smaller ones over in registers, and then every subscript of an
/// `InlineArray` in them yields its first element: those formats are ``BlockFormat``s.
protocol Block: BitwiseCopyable {
  static var type: GGMLType { get }

  /// Writes `blockLength` floats.
  func decode(into output: UnsafeMutablePointer<Float>)

  /// Encodes `blockLength` finite floats. `weights` is the cost of a squared error in each: never negative, not all zero.
  init(_ x: UnsafePointer<Float>, weights: UnsafePointer<Float>)
}

/// A format whose blocks are read and written as bytes. Many blocks are encoded at a time, which fills vector lanes.
protocol BlockFormat {
  static var type: GGMLType { get }

  /// Writes `blockLength` floats.
  static func decode(_ block: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<Float>)

  /// Encodes `count` consecutive blocks of one row of finite floats. `weights` is the cost of a squared error in each:
  /// never negative, not all zero. The bytes of a block depend on the row alone.
  static func encode(_ x: Floats, weights: Floats, count: Int, into output: UnsafeMutablePointer<UInt8>)
}

typealias Floats = UnsafePointer<Float>

extension UnsafePointer<UInt8> {
  /// The little-endian half at byte `offset`.
  @inline(__always) func half(at offset: Int) -> Float {
    Float(Float16(bitPattern: UInt16(self[offset]) | UInt16(self[offset + 1]) << 8))
  }
}

extension UnsafeMutablePointer<UInt8> {
  @inline(__always) func store(_ half: Float16, at offset: Int) {
    let bits = half.bitPattern
    self[offset] = UInt8(truncatingIfNeeded: bits)
    self[offset + 1] = UInt8(truncatingIfNeeded: bits >> 8)
  }
}
