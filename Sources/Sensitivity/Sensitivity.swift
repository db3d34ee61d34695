import GGUF
import Tensors

/// What rounding costs, tensor by tensor: the measured part of every allocation. Reusable for any target.
///
/// The drift that a type costs a tensor is estimated as `coefficient * error[type]`: the local relative error, times one
/// number per tensor that was measured end to end. Neither part is of use alone.
public struct SensitivityTable: Codable, Sendable, Equatable {
  public struct Entry: Codable, Sendable, Equatable {
    public let tensor: String
    public let dimensions: [Int]
    /// The type of the probe, the KL divergence (nats) that it caused alone, and its relative error.
    public let probe: String
    public let divergence: Double
    public let probeError: Double
    /// Importance-weighted relative squared error by type name.
    public let errors: [String: Double]

    /// KL divergence per unit of relative error.
    public var coefficient: Double { probeError > 0 ? divergence / probeError : 0 }

    public func cost(of type: GGMLType) -> Double? { errors[type.name].map { $0 * coefficient } }
  }

  public var format = 1
  public let model: String
  /// Tokens that the probes ran over, and how many positions were scored.
  public let probeTokens: Int
  public let scoredPositions: Int
  public let entries: [Entry]

  public init(model: String, probeTokens: Int, scoredPositions: Int, entries: [Entry]) {
    self.model = model
    self.probeTokens = probeTokens
    self.scoredPositions = scoredPositions
    self.entries = entries
  }
}
