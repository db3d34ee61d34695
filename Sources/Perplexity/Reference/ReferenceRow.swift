import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// What a compact reference keeps of one position.
///
/// The likeliest tokens stand with their log-probabilities. Of the others, the *tail*, there is the mass, and a sample
/// drawn in proportion to probability: `mass / samples` times the sum of (ln p - ln q) over the sample is an unbiased
/// estimate of the tail's part of the divergence.
struct ReferenceRow: Sendable, Equatable {
  /// Token ids in ascending order, and -ln p in units of ``unit``.
  var tokens: [Int32] = []
  var losses: [UInt32] = []
  /// The tail's sample, in ascending order; a token may stand more than once.
  var sampleTokens: [Int32] = []
  var sampleLosses: [UInt32] = []
  var tailMass: Float = 0
  /// ln p of the token that follows in the text.
  var target: Float = 0

  /// Log-probabilities are multiples of 2^-18 nats: rounded by 2e-6 at most, and down to -64.
  static let unit = 0x1p-18
  static let largestLoss: UInt32 = 1 << 24 - 1

  /// A tail smaller than this is not sampled: it can't change a divergence by more than 1e-10.
  private static let negligibleMass = 1e-12

  init() {}

  /// - Parameters:
  ///   - limit: tokens to keep at most.
  ///   - tailTarget: the tail may hold this much probability; the fewest tokens that leave no more are kept.
  ///   - samples: tokens to draw from a tail of that; from a larger one as many more as keep its error, `mostSamples` at
  ///     most.
  ///   - seed: where the sample begins.
  init(
    logits x: UnsafeMutablePointer<Float>, count: Int, target: Int, limit: Int, tailTarget: Double, samples: Int,
    mostSamples: Int, seed: UInt64
  ) {
    let peak = largest(x, count)
    self.target = x[target] - peak
    let order = likeliestTokens(x, count, limit: min(limit, count))
    let logits = order.map { x[Int($0)] - peak }
    let sum = exponentials(x, count, peak: peak, into: x)
    let logSum = log(sum)
    self.target = min(0, Float(Double(self.target) - logSum))

    var rest = sum
    var kept = 0
    while kept < order.count {
      rest -= Double(x[Int(order[kept])])
      kept += 1
      if rest <= tailTarget * sum { break }
    }
    rest = kept == count ? 0 : max(0, rest)
    func quantized(_ logit: Float) -> UInt32 {
      UInt32(min(Double(Self.largestLoss), max(0, ((logSum - Double(logit)) / Self.unit).rounded())))
    }
    let chosen = zip(order, logits).prefix(kept).sorted { $0.0 < $1.0 }
    tokens = chosen.map(\.0)
    losses = chosen.map { quantized($0.1) }
    guard rest > Self.negligibleMass * sum, samples > 0 else { return }
    tailMass = Float(rest / sum)

    let excess = tailTarget > 0 ? max(1, rest / sum / tailTarget) : 1
    let draws = max(samples, Int(min(Double(mostSamples), Double(samples) * excess * excess)))
    // One draw in each of `draws` equal shares of the tail, all at the same place in their share.
    var random = SplitMix(seed: seed)
    let share = rest / Double(draws)
    var next = share * random.fraction()
    var passed = 0.0
    var skip = 0
    for token in 0..<count {
      if skip < tokens.count && Int(tokens[skip]) == token {
        skip += 1
        continue
      }
      passed += Double(x[token])
      while passed > next && sampleTokens.count < draws {
        sampleTokens.append(Int32(token))
        sampleLosses.append(quantized(log(x[token])))
        next += share
      }
    }
  }

  /// The token that the reference finds likeliest; the lowest id where several are equal.
  var top: Int32 {
    var best = 0
    for index in losses.indices where losses[index] < losses[best] { best = index }
    return tokens[best]
  }
}
