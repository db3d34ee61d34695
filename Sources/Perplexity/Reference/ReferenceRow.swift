import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The data of one position in a compact reference.
///
/// The likeliest tokens are kept with their log-probabilities. The others, the *tail*, are represented by their mass
/// and a sample drawn in proportion to probability: `mass / samples` times the sum of (ln p - ln q) over the sample is
/// an unbiased estimate of the tail's part of the divergence.
struct ReferenceRow: Sendable, Equatable {
  /// Token ids in ascending order, and -ln p in units of ``unit``.
  var tokens: [Int32] = []
  var losses: [UInt32] = []
  /// The sample of the tail, in ascending order; a token may occur more than once.
  var sampleTokens: [Int32] = []
  var sampleLosses: [UInt32] = []
  var tailMass: Float = 0
  /// ln p of the token that follows in the text.
  var target: Float = 0

  /// Log-probabilities are multiples of 2^-18 nats down to -64, with a rounding error of at most 2e-6.
  static let unit = 0x1p-18
  static let maximumLoss: UInt32 = 1 << 24 - 1

  /// A smaller tail is not sampled, since it changes a divergence by less than 1e-10.
  private static let negligibleMass = 1e-12

  init() {}

  /// - Parameters:
  ///   - limit: the maximum number of tokens to keep.
  ///   - tailTarget: the target for the tail's probability; the smallest number of tokens that reaches it is kept.
  ///   - samples: the number of tokens to draw from a tail of that probability. A larger tail gets more, up to
  ///     `maximumSamples`, to keep the error.
  ///   - seed: the seed of the sample.
  init(
    logits x: UnsafeMutablePointer<Float>, count: Int, target: Int, limit: Int, tailTarget: Double, samples: Int,
    maximumSamples: Int, seed: UInt64
  ) {
    let peak = largest(x, count)
    self.target = x[target] - peak
    let order = likeliestTokens(x, count, limit: min(limit, count))
    let logits = order.map { x[Int($0)] - peak }
    let sum = exponentials(x, count, peak: peak, into: x)
    let logSum = log(sum)
    self.target = min(0, Float(Double(self.target) - logSum))

    var remaining = sum
    var kept = 0
    while kept < order.count {
      remaining -= Double(x[Int(order[kept])])
      kept += 1
      if remaining <= tailTarget * sum { break }
    }
    remaining = kept == count ? 0 : max(0, remaining)
    func quantized(_ logit: Float) -> UInt32 {
      UInt32(min(Double(Self.maximumLoss), max(0, ((logSum - Double(logit)) / Self.unit).rounded())))
    }
    let chosen = zip(order, logits).prefix(kept).sorted { $0.0 < $1.0 }
    tokens = chosen.map(\.0)
    losses = chosen.map { quantized($0.1) }
    guard remaining > Self.negligibleMass * sum, samples > 0 else { return }
    tailMass = Float(remaining / sum)

    let excess = tailTarget > 0 ? max(1, remaining / sum / tailTarget) : 1
    let draws = max(samples, Int(min(Double(maximumSamples), Double(samples) * excess * excess)))
    // Systematic sampling: one draw in each of `draws` equal shares of the tail, at the same relative position.
    var random = SplitMix(seed: seed)
    let share = remaining / Double(draws)
    var next = share * random.fraction()
    var cumulative = 0.0
    var skip = 0
    for token in 0..<count {
      if skip < tokens.count && Int(tokens[skip]) == token {
        skip += 1
        continue
      }
      cumulative += Double(x[token])
      while cumulative > next && sampleTokens.count < draws {
        sampleTokens.append(Int32(token))
        sampleLosses.append(quantized(log(x[token])))
        next += share
      }
    }
  }

  /// The likeliest token; the lowest id of several equal ones.
  var top: Int32 {
    var best = 0
    for index in losses.indices where losses[index] < losses[best] { best = index }
    return tokens[best]
  }
}
