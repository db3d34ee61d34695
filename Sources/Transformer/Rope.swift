#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Rotary position embedding (arXiv 2104.09864), with the scalings that stretch it to longer contexts.
struct Rope: Sendable, Equatable {
  /// Which elements of a head make a pair.
  enum Style: Sendable {
    /// 0 with 1, 2 with 3: llama as GGUF stores it.
    case adjacent
    /// i with i + n/2: "neox".
    case halves
  }

  /// YaRN (arXiv 2309.00071): high frequencies stay, low ones are interpolated, with a ramp between.
  struct Yarn: Sendable, Equatable {
    /// Tokens of context that the model was trained for.
    let originalContext: Int
    /// Pairs with more rotations than this in the original context are not interpolated.
    var betaFast: Double = 32
    /// Pairs with fewer rotations than this are interpolated wholly.
    var betaSlow: Double = 1
  }

  /// Which elements of a head make a pair.
  let style: Style
  /// Elements of a head that turn.
  let dimensions: Int
  /// The base of the frequencies; 10000 in the paper.
  let base: Double
  /// Contexts grow by this factor; 1 without scaling.
  var factor: Double = 1
  /// Set where the context is stretched by YaRN.
  var yarn: Yarn?
  /// What cosines and sines are multiplied by.
  var magnitude: Double = 1

  /// Radians per position for each pair. `factors` (llama3's `rope_freqs.weight`) divide them.
  func frequencies(factors: [Float]?) -> [Double] {
    (0..<dimensions / 2).map { pair in
      let plain = pow(base, -2 * Double(pair) / Double(dimensions)) / Double(factors?[pair] ?? 1)
      let interpolated = plain / factor
      guard let yarn else { return interpolated }
      let low = max(0, dimension(turning: yarn.betaFast, yarn).rounded(.down))
      let high = min(Double(dimensions - 1), dimension(turning: yarn.betaSlow, yarn).rounded(.up))
      let ramp = min(1, max(0, (Double(pair) - low) / max(0.001, high - low)))
      return interpolated * ramp + plain * (1 - ramp)
    }
  }

  /// The pair that turns `rotations` times within the original context.
  private func dimension(turning rotations: Double, _ yarn: Yarn) -> Double {
    Double(dimensions) * log(Double(yarn.originalContext) / (rotations * 2 * .pi)) / (2 * log(base))
  }
}
