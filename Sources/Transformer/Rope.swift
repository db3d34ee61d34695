import GGUF

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A rotation that some layers of a decoder share.
struct LayerRotation: Sendable {
  let rope: Rope
  /// The divisors of the frequencies, one per pair: llama3's `rope_freqs.weight`.
  var factors: TensorInfo?
  /// Other divisors for texts of more than some number of positions (LongRoPE, arXiv 2402.13753); nil without.
  var longFactors: (tensor: TensorInfo, above: Int)?

  func factors(positions: Int) -> TensorInfo? {
    longFactors.flatMap { positions > $0.above ? $0.tensor : nil } ?? factors
  }
}

/// Rotary position embedding (arXiv 2104.09864), with its scalings to longer contexts.
struct Rope: Sendable, Equatable {
  /// The pairing of a head's elements.
  enum Style: Sendable {
    /// 0 with 1, 2 with 3: llama in GGUF.
    case adjacent
    /// i with i + n/2: NeoX.
    case halves
  }

  /// YaRN (arXiv 2309.00071): low frequencies are interpolated, high ones are not, with a ramp between them.
  struct Yarn: Sendable, Equatable {
    /// The context length of the model's training, in tokens.
    let originalContext: Int
    /// Pairs with more rotations than this in the original context are not interpolated.
    var betaFast: Double = 32
    /// Pairs with fewer rotations than this are fully interpolated.
    var betaSlow: Double = 1
  }

  let style: Style
  /// The number of rotated elements of a head.
  let dimensions: Int
  /// The base of the frequencies; 10000 in the paper.
  let base: Double
  /// The factor of the context length; 1 without scaling.
  var factor: Double = 1
  /// YaRN's parameters; nil for linear scaling.
  var yarn: Yarn?
  /// The factor of cosines and sines.
  var magnitude: Double = 1

  /// Radians per position for each pair, divided by `factors` (llama3's `rope_freqs.weight`).
  func frequencies(factors: [Float]?) -> [Double] {
    (0..<dimensions / 2).map { pair in
      let plain = pow(base, -2 * Double(pair) / Double(dimensions)) / Double(factors?[pair] ?? 1)
      let interpolated = plain / factor
      guard let yarn else { return interpolated }
      let low = max(0, pairIndex(rotations: yarn.betaFast, yarn).rounded(.down))
      let high = min(Double(dimensions - 1), pairIndex(rotations: yarn.betaSlow, yarn).rounded(.up))
      let ramp = min(1, max(0, (Double(pair) - low) / max(0.001, high - low)))
      return interpolated * ramp + plain * (1 - ramp)
    }
  }

  /// The index of the pair with a number of rotations in the original context.
  private func pairIndex(rotations: Double, _ yarn: Yarn) -> Double {
    Double(dimensions) * log(Double(yarn.originalContext) / (rotations * 2 * .pi)) / (2 * log(base))
  }
}
