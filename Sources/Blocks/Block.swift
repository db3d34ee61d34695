import Tensors

/// A block as it lies in memory: ggml's fields in ggml's order, with no padding.
///
/// Elements go through unsafe pointers: a block is a fixed number of floats, and the rows around it were checked by
/// ``decodeRows(_:as:into:)`` and ``encodeRows(_:columns:importance:as:into:)``.
protocol Block: BitwiseCopyable {
  static var type: GGMLType { get }

  /// Writes `blockLength` floats.
  func decode(into output: UnsafeMutablePointer<Float>)

  /// Encodes `blockLength` finite floats; `weights` say what an error in each costs (never all zero, never negative).
  init(_ x: UnsafePointer<Float>, weights: UnsafePointer<Float>)
}

typealias Floats = UnsafePointer<Float>
