import GGUF
import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Growth of the scores with the position p of a query: a factor of 1 + scale log(1 + floor(p / length)).
struct AttentionTemperature: Sendable, Equatable {
  let scale: Double
  let length: Int

  func factor(position: Int) -> Float { Float(1 + scale * log(1 + Double(position / length))) }

  /// Multiplies rows of queries, of which `length` are a window's.
  func apply(_ x: FloatView, tokens: Int, length: Int, firstPosition: Int, columns: Int) throws {
    for token in 0..<tokens {
      let factor = factor(position: firstPosition + token % length)
      guard factor != 1 else { continue }
      try multiply(x.slice(token * columns, columns), by: factor, count: columns)
    }
  }
}

extension ModelReader {
  /// - Parameter length: the key of the length from which scores grow.
  func temperature(length key: String) throws(ForwardError) -> AttentionTemperature? {
    guard let scale = try optionalDouble("attention.temperature_scale"), scale != 0 else { return nil }
    return AttentionTemperature(scale: scale, length: try int(key))
  }
}
