import Imatrix
import Tensors

/// Shrinks Gram matrices of few tokens, by a share that is judged on held-out tokens.
///
/// Each share makes a metric, in which some rows are rounded. The share whose errors cost the minimum on the held-out tokens
/// is taken. The shares of some experts of a layer serve the others: a share is κ / (κ + tokens), and κ is the median of the
/// measured ones.
struct FeedbackShrinkage {
  /// The measured κ of the current layer, by class of tensor.
  private var strengths: [String: [Double]] = [:]

  /// Candidates, from no shrinkage to none of the input's own correlations.
  static let shares: [Float] = [0, 0.1, 0.3, 0.6, 1]
  /// Experts of a layer whose shares are found by trial; each trial factors a matrix for every share.
  static let trials = 4
  /// Minimum tokens for each column with which nothing is shrunk: with 3 the error after rounding was 2 % above that with 27.
  static let ample = 8

  /// Forgets the shares of a layer.
  mutating func endLayer() { strengths = [:] }

  /// The Gram matrix of all tokens, shrunk.
  ///
  /// - Parameter rounding: rounds some rows in the metric of a Gram matrix, and returns their errors [rows, columns].
  mutating func gram(of input: GramInput, rounding: (GramMatrix) throws -> [Float]) throws -> GramMatrix {
    guard let heldOut = input.heldOut else { return Self.shrunk(input.gram) }
    let share = try share(input, heldOut, rounding)
    var whole = input.gram
    whole.add(heldOut)
    if share > 0 { whole.shrink(by: share, toward: input.layer) }
    return whole
  }

  /// Whether there are fewer tokens than a quarter of the columns: the Gram matrix then has less than a quarter of its rank.
  static func isShort(tokens: Int, columns: Int) -> Bool { 4 * tokens < columns }

  static func isShort(_ gram: GramMatrix) -> Bool { isShort(tokens: gram.tokens, columns: gram.columns) }

  /// Sums of a short text with correlations reduced to tokens / (tokens + columns) of their value; other sums unchanged.
  ///
  /// There are no held-out tokens to choose the share by.
  static func shrunk(_ gram: GramMatrix) -> GramMatrix {
    guard isShort(gram) else { return gram }
    var result = gram
    result.shrink(by: untriedShare(tokens: gram.tokens, columns: gram.columns))
    return result
  }

  /// The share where nothing can be tried: κ is the number of columns.
  private static func untriedShare(tokens: Int, columns: Int) -> Float { Float(columns) / Float(columns + tokens) }

  private mutating func share(
    _ input: GramInput, _ heldOut: GramMatrix, _ rounding: (GramMatrix) throws -> [Float]
  ) throws -> Float {
    guard input.tokens < Self.ample * heldOut.columns else { return 0 }
    let kind = input.tensors.joined(separator: " ").split(separator: ".").dropFirst(2).joined()
    let earlier = strengths[kind, default: []]
    if earlier.count >= Self.trials { return Self.share(earlier, tokens: input.tokens) }
    guard heldOut.tokens > 0, input.gram.diagonal.contains(where: { $0 > 0 }) else {
      return earlier.isEmpty
        ? Self.untriedShare(tokens: input.tokens, columns: heldOut.columns)
        : Self.share(earlier, tokens: input.tokens)
    }
    var best: (share: Float, cost: Double) = (0, .infinity)
    for share in Self.shares {
      var shrunk = input.gram
      shrunk.shrink(by: share, toward: input.layer)
      let errors = try rounding(shrunk)
      let cost = heldOut.cost(of: errors.span)
      if cost < best.cost { best = (share, cost) }
    }
    // A share of 1 would make κ infinite, and says only that the share is large: it counts as one between 0.6 and 1.
    let limited = Double(min(best.share, 0.9))
    strengths[kind, default: []].append(limited / (1 - limited) * Double(input.gram.tokens))
    return best.share
  }

  private static func share(_ strengths: [Double], tokens: Int) -> Float {
    let median = strengths.sorted()[strengths.count / 2]
    return Float(median / (median + Double(max(1, tokens))))
  }
}
