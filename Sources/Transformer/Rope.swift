#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Rotary position embedding (arXiv 2104.09864), with the scalings that stretch it to longer contexts.
public struct Rope: Sendable, Equatable {
  /// Which elements of a head make a pair.
  public enum Style: Sendable {
    /// 0 with 1, 2 with 3: llama as GGUF stores it.
    case adjacent
    /// i with i + n/2: "neox".
    case halves
  }

  /// YaRN (arXiv 2309.00071): high frequencies stay, low ones are interpolated, with a ramp between.
  public struct Yarn: Sendable, Equatable {
    public let originalContext: Int
    public var betaFast: Double = 32
    public var betaSlow: Double = 1
  }

  public let style: Style
  /// Elements of a head that turn.
  public let dimensions: Int
  public let base: Double
  /// Contexts grow by this factor; 1 without scaling.
  public var factor: Double = 1
  public var yarn: Yarn?
  /// What cosines and sines are multiplied by.
  public var magnitude: Double = 1

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
