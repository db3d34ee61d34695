import GGUF
import Quantize
import Tensors

/// The chosen types of a file, and the evidence for them.
public struct FitReport: Codable, Sendable, Equatable {
  /// Origin of the types.
  public enum Choice: String, Codable, Sendable {
    /// The allocation from sensitivities.
    case allocation
    /// The mix that the search found.
    case search
    /// The allocation from what was expected before this model was measured.
    case expected
    /// The stock mix ``Comparison/written``.
    case stock
  }

  /// Statistics of a search.
  public struct Search: Codable, Sendable, Equatable {
    public let trials: Int
    public let rounds: Int
    /// True if time ended the search: another run may find another mix.
    public let isCutShort: Bool
  }

  /// A mix, measured on the final text, which no earlier stage has seen.
  public struct Measured: Codable, Sendable, Equatable {
    public let name: String
    public let bytes: Int
    /// Mean divergence in nats.
    public let divergence: Double
  }

  /// The last comparison.
  public struct Comparison: Codable, Sendable, Equatable {
    /// Number of windows of the final text.
    public let windows: Int
    /// Divergence of the fitted mix that was chosen.
    public let fitted: Double
    public let allocation: Double
    /// The search's mix, if it differs from the allocation.
    public let search: Double?
    /// Divergence of the allocation without probes, if its types differ.
    public let expected: Double?
    /// The nearest stock mixes, the largest first.
    public let stock: [Measured]
    /// 95 % interval of the fitted mix's divergence minus that of the best stock mix.
    public let low: Double
    public let high: Double
    /// The stock mix that is written because it is better; nil if a fitted mix is.
    public let written: String?

    public var best: Measured? { stock.min { $0.divergence < $1.divergence } }
  }

  /// The written file with error feedback beside stock mixes without, on the final text.
  public struct Written: Codable, Sendable, Equatable {
    /// Number of windows of the final text.
    public let windows: Int
    public let divergence: Double
    /// The nearest stock mixes, the largest first.
    public let stock: [Measured]
    /// 95 % interval of the file's divergence minus that of the best stock mix.
    public let low: Double
    public let high: Double
    /// False where no tensor got a type that takes feedback.
    public var hasFeedback = true

    public var best: Measured? { stock.min { $0.divergence < $1.divergence } }
  }

  /// Too few windows of text for all three parts.
  public struct Shortage: Codable, Sendable, Equatable {
    public let windows: Int
    public let context: Int
    public let needed: Int
  }

  /// Types by tensor name.
  public let types: [String: String]
  public let choice: Choice
  /// The best evidence that the types rest on.
  public let evidence: Evidence
  /// Floors of tensors that break at few bits.
  public internal(set) var floors: [FragileTensors.Floor] = []
  /// Classes that no other model was measured on, if the types follow from the prior alone.
  public internal(set) var unmeasuredClasses: [String] = []
  /// nil if no search ran.
  public internal(set) var search: Search?
  /// nil without text or time for it.
  public internal(set) var comparison: Comparison?
  /// Whether the comparison's mixes were estimated: with error feedback, of which trials have only the average effect.
  public internal(set) var isEstimated = false
  public internal(set) var shortage: Shortage?
  /// Stages for which the budget was too short.
  public internal(set) var omitted: [OmittedStage] = []
  /// The written file; nil without error feedback, where ``comparison`` has it, and before it is written.
  public var written: Written?

  init(types: [String: String], choice: Choice, evidence: Evidence) {
    self.types = types
    self.choice = choice
    self.evidence = evidence
  }

  /// The types in the order of a model's tensors.
  public func types(for source: any ModelSource) -> [GGMLType] {
    source.tensors.map { tensor in
      guard let type = types[tensor.name].flatMap({ GGMLType(name: $0) }), tensor.shape.bytes(as: type) != nil else {
        return tensor.type
      }
      return type
    }
  }
}
