import Imatrix
import Tensors

/// How far Gram matrices of few tokens are believed, by what they are worth on tokens that they have not seen.
///
/// Each share of shrinkage makes a metric, in which some rows are rounded; the share whose errors cost least on the tokens
/// that were held out is taken. Shares that were found for some experts of a layer serve the others: a share is
/// κ / (κ + tokens), and κ is the median of those that were found.
struct FeedbackShrinkage {
  /// By class of tensor, within a layer.
  private var strengths: [String: [Double]] = [:]

  static let shares: [Float] = [0, 0.1, 0.3, 0.6, 1]
  /// Experts of a layer whose shares are found by trial; each trial factors a matrix for every share.
  static let trials = 4
  /// Tokens for each column from which on nothing is shrunk: with 3 the error behind rounding was 2 % above that of 27.
  static let ample = 8

  /// Forgets what was found: a layer has ended.
  mutating func endLayer() { strengths = [:] }

  /// Sums of all tokens, shrunk.
  ///
  /// - Parameter rounding: the errors [rows, columns] of some rows that are rounded in a metric.
  mutating func gram(of input: GramInput, rounding: (GramMatrix) throws -> [Float]) throws -> GramMatrix {
    guard let heldOut = input.heldOut else { return Self.shrunk(input.gram) }
    let share = try share(input, heldOut, rounding)
    var whole = input.gram
    whole.add(heldOut)
    if share > 0 { whole.shrink(by: share, toward: input.layer) }
    return whole
  }

  /// Whether an input has fewer tokens than a quarter of its columns.
  static func isShort(_ gram: GramMatrix) -> Bool { 4 * gram.tokens < gram.columns }

  /// Sums of a short text with correlations reduced to tokens / (tokens + columns) of their value; other sums unchanged.
  ///
  /// There are no held-out tokens to choose the share by.
  static func shrunk(_ gram: GramMatrix) -> GramMatrix {
    guard isShort(gram) else { return gram }
    var result = gram
    result.shrink(by: Float(gram.columns) / Float(gram.columns + gram.tokens))
    return result
  }

  private mutating func share(
    _ input: GramInput, _ heldOut: GramMatrix, _ rounding: (GramMatrix) throws -> [Float]
  ) throws -> Float {
    guard input.tokens < Self.ample * heldOut.columns else { return 0 }
    let kind = input.tensors.joined(separator: " ").split(separator: ".").dropFirst(2).joined()
    let known = strengths[kind, default: []]
    if known.count >= Self.trials { return Self.share(known, tokens: input.tokens) }
    // Nothing to judge by: as if it were a matter of tokens alone.
    guard heldOut.tokens > 0, input.gram.diagonal.contains(where: { $0 > 0 }) else {
      return known.isEmpty
        ? Float(heldOut.columns) / Float(heldOut.columns + input.tokens) : Self.share(known, tokens: input.tokens)
    }
    var best: (share: Float, cost: Double) = (0, .infinity)
    for share in Self.shares {
      var shrunk = input.gram
      shrunk.shrink(by: share, toward: input.layer)
      let errors = try rounding(shrunk)
      let cost = heldOut.cost(of: errors.span)
      if cost < best.cost { best = (share, cost) }
    }
    // A share of 1 says no more than that it is large.
    let found = Double(min(best.share, 0.9))
    strengths[kind, default: []].append(found / (1 - found) * Double(input.gram.tokens))
    return best.share
  }

  private static func share(_ strengths: [Double], tokens: Int) -> Float {
    let median = strengths.sorted()[strengths.count / 2]
    return Float(median / (median + Double(max(1, tokens))))
  }
}
