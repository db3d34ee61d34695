/// The grade of evidence for a choice of types. Every grade is better than the one before it.
public enum Evidence: String, Codable, Sendable, CaseIterable, Comparable {
  /// Worth by class and depth, from other models (``Prior``).
  case prior
  /// A table of another model of the family.
  case sibling
  /// A published table of this model or its kin.
  case published
  /// Probes of this model.
  case measured
  /// Trials of whole mixes of this model.
  case searched

  /// Whether the divergence of this model was measured.
  public var isMeasured: Bool { self >= .measured }

  public static func < (one: Evidence, other: Evidence) -> Bool {
    one.rank < other.rank
  }

  private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

/// The expectation of a tensor's coefficient before this model is measured.
public struct Expectation: Codable, Sendable, Equatable {
  /// Natural logarithm of the coefficient, in a unit that all tensors of the table share.
  public let log: Double
  /// Standard deviation of `log`.
  public let spread: Double

  public init(log: Double, spread: Double) {
    self.log = log
    self.spread = spread
  }
}
