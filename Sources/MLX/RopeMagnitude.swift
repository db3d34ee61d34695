import Checkpoint
import Foundation

/// YaRN's factor of queries and keys ("YaRN: Efficient Context Window Extension of Large Language Models").
///
/// It grows with the logarithm of the context's factor: `g(m) = 1 + 0.1 m log(factor)`.
struct RopeMagnitude {
  /// The factor that a configuration means: `attention_factor`, or `g(mscale) / g(mscale_all_dim)` if both are given, or
  /// `g(1)`.
  let declared: Double
  /// The factor that mlx_lm computes, where a missing `mscale` is 1 and a missing `mscale_all_dim` 0.
  let computed: Double

  /// - Parameter parameters: `rope_scaling` or `rope_parameters`.
  init(_ parameters: JSONValue) {
    let factor = parameters["factor"]?.double ?? 1
    func growth(_ scale: Double) -> Double { factor > 1 ? 1 + 0.1 * scale * log(factor) : 1 }
    let (scale, all) = (parameters["mscale"]?.double, parameters["mscale_all_dim"]?.double)
    computed = growth(scale ?? 1) / growth(all ?? 0)
    if let given = parameters["attention_factor"]?.double {
      declared = given
    } else if let scale, let all, scale != 0, all != 0 {
      declared = growth(scale) / growth(all)
    } else {
      declared = growth(1)
    }
  }
}
