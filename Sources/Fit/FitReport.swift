import GGUF
import Quantize
import Tensors

/// How the types of a file were chosen, and the evidence for them.
public struct FitReport: Codable, Sendable, Equatable {
  /// Where the types come from.
  public enum Choice: String, Codable, Sendable {
    /// The allocation from sensitivities.
    case allocation
    /// A mix that a search found.
    case search
    /// The stock mix ``Comparison/written``.
    case stock
  }

  /// What a search did.
  public struct Search: Codable, Sendable, Equatable {
    public let trials: Int
    public let rounds: Int
    /// Time ended it: another run may find something else.
    public let isCutShort: Bool
  }

  /// A mix on the final text, which nothing before was measured on.
  public struct Measured: Codable, Sendable, Equatable {
    public let name: String
    public let bytes: Int
    /// Mean divergence in nats.
    public let divergence: Double
  }

  /// The last comparison.
  public struct Comparison: Codable, Sendable, Equatable {
    /// Windows of the final text.
    public let windows: Int
    public let allocation: Double
    /// The search's mix, where it is another one.
    public let search: Double?
    /// The nearest stock mixes, the largest first.
    public let stock: [Measured]
    /// 95 % interval of the fitted mix's divergence less that of the best stock mix.
    public let low: Double
    public let high: Double
    /// The stock mix that was written, because it is better.
    public let written: String?

    /// The best mix that was fitted.
    public var fitted: Double { min(allocation, search ?? allocation) }
    public var best: Measured? { stock.min { $0.divergence < $1.divergence } }
  }

  /// Text that was missing for all parts of the evidence.
  public struct Shortage: Codable, Sendable, Equatable {
    public let windows: Int
    public let context: Int
    public let needed: Int
  }

  /// By tensor name.
  public let types: [String: String]
  public let choice: Choice
  /// nil where no search ran.
  public let search: Search?
  /// nil where no text was left for it.
  public let comparison: Comparison?
  public let shortage: Shortage?

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
