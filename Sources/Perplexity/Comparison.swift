/// One model's drift over the whole text, and over each kind of text.
public struct ModelDrift: Sendable, Equatable, Codable {
  /// A model's drift over one kind of text.
  public struct Kind: Sendable, Equatable, Codable {
    /// The kind of text, such as code or chat.
    public let kind: String
    /// The number of windows.
    public let windows: Int
    /// All figures.
    public let statistics: DriftStatistics
    /// The interval of the mean divergence, from resampled windows.
    public let interval: ConfidenceInterval
    /// The error that a compact reference adds; nil for a complete reference.
    public let truncation: Truncation?
  }

  /// The model's name.
  public let name: String
  /// Bytes of the model, as in ``ModelSize``.
  public let bytes: Int
  /// Bits of all tensors per weight.
  public let bitsPerWeight: Double
  /// All figures.
  public let statistics: DriftStatistics
  /// The interval of the mean divergence, from resampled windows.
  public let interval: ConfidenceInterval
  /// One entry per kind of text, in the order of first appearance; empty if there is only one kind.
  public let kinds: [Kind]
  /// The error that a compact reference adds; nil for a complete reference.
  public let truncation: Truncation?

  /// The figures of a drift over these windows.
  public init(_ model: ModelSize, drift: Drift, windows: ScoringWindows) {
    (name, bytes, bitsPerWeight) = (model.name, model.bytes, model.bitsPerWeight)
    statistics = DriftStatistics(drift)
    interval = Bootstrap.interval(ofMean: drift.divergences, rowsPerWindow: windows.scored.count)
    let kinds = windows.kinds
    self.kinds =
      kinds.count < 2
      ? []
      : kinds.map { kind in
        let rows = windows.rows(ofKind: kind)
        let part = drift.selecting(rows: rows)
        return Kind(
          kind: kind, windows: part.positions / windows.scored.count, statistics: DriftStatistics(part),
          interval: Bootstrap.interval(ofMean: part.divergences, rowsPerWindow: windows.scored.count),
          truncation: part.truncation)
      }
    truncation = drift.truncation
  }
}

/// A comparison of two candidates, position by position.
public struct DriftComparison: Sendable, Equatable, Codable {
  /// The name of the first candidate.
  public let one: String
  /// The name of the second candidate.
  public let other: String
  /// The mean divergence of `one` minus that of `other`, in nats.
  public let difference: Estimate
  /// The interval of ``difference``, from resampled windows.
  public let interval: ConfidenceInterval

  /// Compares drifts over the same windows.
  init(_ one: (name: String, drift: Drift), _ other: (name: String, drift: Drift), windows: ScoringWindows) {
    self.one = one.name
    self.other = other.name
    difference = Estimate(meanOf: zip(one.drift.divergences, other.drift.divergences).map { $0 - $1 })
    interval = Bootstrap.difference(one.drift, other.drift, rowsPerWindow: windows.scored.count)
  }
}

extension ScoringWindows {
  /// Kinds of text, in the order of first appearance.
  public var kinds: [String] {
    var seen = Set<String>()
    return parts.map(\.kind).filter { seen.insert($0).inserted }
  }

  /// Names of texts, in the order of first appearance.
  public var names: [String] {
    var seen = Set<String>()
    return parts.map(\.name).filter { seen.insert($0).inserted }
  }

  /// Indices of the first windows of every text, at most `limit` each.
  public func limited(to limit: Int) -> [Int] { parts.flatMap { Array($0.windows.prefix(limit)) } }

  /// The scored rows of all texts of one kind.
  public func rows(ofKind kind: String) -> [Range<Int>] {
    parts.filter { $0.kind == kind }.map { rows(ofWindows: $0.windows) }
  }

  /// The scored rows of a text.
  public func rows(ofText name: String) -> [Range<Int>] {
    parts.filter { $0.name == name }.map { rows(ofWindows: $0.windows) }
  }
}
