/// How far a model's predictions are from its reference's: what is known of every scored position.
public struct Drift: Sendable, Equatable, Codable {
  /// KL(reference || model), in nats.
  public private(set) var divergences: [Double]
  /// -ln of the probability of the next token, in nats: the reference's and the model's.
  public private(set) var baseLosses: [Double]
  /// -ln of the probability that the model gives the next token, in nats.
  public private(set) var losses: [Double]
  /// Whether the likeliest token is the same.
  public private(set) var sameTops: [Bool]
  /// What is not known exactly, position by position; empty where the reference is whole.
  private(set) var tails: [Tail] = []

  /// The part of a divergence that a compact reference samples.
  struct Tail: Sendable, Equatable, Codable {
    /// The square of the estimate's standard error.
    let variance: Double
    /// What the divergence can't be below or above, whatever the tail.
    let least: Double
    let most: Double
  }

  /// A drift of one entry a position: all arrays have one length (a precondition).
  public init(divergences: [Double], baseLosses: [Double], losses: [Double], sameTops: [Bool]) {
    let count = divergences.count
    precondition(baseLosses.count == count && losses.count == count && sameTops.count == count)
    self.divergences = divergences
    self.baseLosses = baseLosses
    self.losses = losses
    self.sameTops = sameTops
  }

  /// Scored positions.
  public var positions: Int { divergences.count }

  /// The mean divergence in nats; 0 without positions.
  public var mean: Double { divergences.reduce(0, +) / Double(max(1, positions)) }

  /// What a compact reference may add to the error of the mean; nil where the reference is whole.
  public var truncation: Truncation? { tails.isEmpty ? nil : Truncation(tails) }

  /// Adds the positions of further windows.
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

  /// Some rows of it: a text, or the texts of one kind.
  public func selecting(rows: [Range<Int>]) -> Drift {
    var selection = Drift(
      divergences: rows.flatMap { divergences[$0] }, baseLosses: rows.flatMap { baseLosses[$0] },
      losses: rows.flatMap { losses[$0] }, sameTops: rows.flatMap { sameTops[$0] })
    if !tails.isEmpty { selection.tails = rows.flatMap { tails[$0] } }
    return selection
  }
}

/// How far the mean divergence from a compact reference may be from the true one, in nats.
public struct Truncation: Sendable, Equatable, Codable {
  /// Of the sampled tails' share of the mean.
  public let standardError: Double
  /// Three standard errors, and the rounding of what is stored.
  public let bound: Double
  /// What the mean can't be below or above, whatever the tails were.
  public let least: Double
  /// The mean's upper bound, in nats.
  public let most: Double

  /// Stored log-probabilities are rounded by 2e-6, sums are in single precision of 1e-6.
  private static let rounding = 5e-6

  init(_ tails: [Drift.Tail]) {
    let count = Double(max(1, tails.count))
    standardError = tails.reduce(0) { $0 + $1.variance }.squareRoot() / count
    bound = 3 * standardError + Self.rounding
    least = tails.reduce(0) { $0 + $1.least } / count
    most = tails.reduce(0) { $0 + $1.most } / count
  }
}
