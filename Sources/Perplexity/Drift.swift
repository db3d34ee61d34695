/// The differences between a model's predictions and its reference's, at every scored position.
public struct Drift: Sendable, Equatable, Codable {
  /// KL(reference || model) at each position, in nats.
  public private(set) var divergences: [Double]
  /// -ln of the probability that the reference gives the next token, in nats.
  package private(set) var baseLosses: [Double]
  /// -ln of the probability that the model gives the next token, in nats.
  public private(set) var losses: [Double]
  /// Whether model and reference have the same likeliest token.
  package private(set) var sameTops: [Bool]
  /// The sampled part of each position; empty for a complete reference.
  private(set) var tails: [Tail] = []

  /// The part of a divergence that is estimated from a compact reference's sample.
  struct Tail: Sendable, Equatable, Codable {
    /// The square of the estimate's standard error.
    let variance: Double
    /// Bounds of the divergence for any tail, in nats.
    let least: Double
    let most: Double
  }

  /// A drift with one entry per position.
  ///
  /// - Precondition: all arrays have the same length.
  package init(divergences: [Double], baseLosses: [Double], losses: [Double], sameTops: [Bool]) {
    let count = divergences.count
    precondition(baseLosses.count == count && losses.count == count && sameTops.count == count)
    self.divergences = divergences
    self.baseLosses = baseLosses
    self.losses = losses
    self.sameTops = sameTops
  }

  /// The number of scored positions.
  public var positions: Int { divergences.count }

  /// The mean divergence in nats; 0 without positions.
  public var mean: Double { divergences.reduce(0, +) / Double(max(1, positions)) }

  /// The error of the mean that a compact reference adds; nil for a complete reference.
  public var truncation: Truncation? { tails.isEmpty ? nil : Truncation(tails) }

  /// Appends the positions of more windows.
  public mutating func append(_ other: Drift) {
    precondition(positions == 0 || tails.isEmpty == other.tails.isEmpty, "references of two kinds")
    divergences += other.divergences
    baseLosses += other.baseLosses
    losses += other.losses
    sameTops += other.sameTops
    tails += other.tails
  }

  mutating func append(divergence: Double, baseLoss: Double, loss: Double, sameTop: Bool, tail: Tail) {
    divergences.append(divergence)
    baseLosses.append(baseLoss)
    losses.append(loss)
    sameTops.append(sameTop)
    tails.append(tail)
  }

  /// The drift at some of the positions, such as those of one text.
  public func selecting(rows: [Range<Int>]) -> Drift {
    var selection = Drift(
      divergences: rows.flatMap { divergences[$0] }, baseLosses: rows.flatMap { baseLosses[$0] },
      losses: rows.flatMap { losses[$0] }, sameTops: rows.flatMap { sameTops[$0] })
    if !tails.isEmpty { selection.tails = rows.flatMap { tails[$0] } }
    return selection
  }
}

/// The error of the mean divergence that a compact reference adds, in nats.
public struct Truncation: Sendable, Equatable, Codable {
  /// The standard error of the sampled part of the mean.
  public let standardError: Double
  /// Three standard errors, plus the rounding error of the stored values.
  public let bound: Double
  /// The lower bound of the mean for any tails.
  public let least: Double
  /// The upper bound of the mean for any tails.
  public let most: Double

  /// Stored log-probabilities are rounded by up to 2e-6. Single-precision sums have errors of 1e-6.
  private static let rounding = 5e-6

  init(_ tails: [Drift.Tail]) {
    let count = Double(max(1, tails.count))
    standardError = tails.reduce(0) { $0 + $1.variance }.squareRoot() / count
    bound = 3 * standardError + Self.rounding
    least = tails.reduce(0) { $0 + $1.least } / count
    most = tails.reduce(0) { $0 + $1.most } / count
  }
}
