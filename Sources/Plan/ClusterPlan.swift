import GGUF
import Quantize
import Tensors

/// Estimated times of a run in parts on the nodes of a cluster, and the number of nodes from which more do not help.
///
/// A part of a pass over text reads the whole model, so N nodes read it N times from one file system. A part of an
/// encoding reads only its own tensors.
public struct ClusterPlan: Sendable {
  /// The assumptions of the estimates.
  public struct Assumptions: Sendable, Equatable {
    /// Floating-point operations per second of a core in the matrix product.
    public var operationsPerCore = 2e10
    /// Seconds of a core for a weight that is encoded, of the slower K-quants.
    public var encodingSeconds = 1e-7
    /// Bytes per second of the shared file system, for all nodes together.
    public var sharedBandwidth = 2e9
    /// Tokens of the text for importance: the text that ships with qtool.
    public var importanceTokens = 93_184
    /// Tokens of the text of the comparison.
    public var driftTokens = 51_200

    /// The defaults.
    public init() {}
  }

  /// A command that is done in parts.
  public enum Stage: String, Sendable, CaseIterable {
    case importance, encoding, drift
  }

  /// The estimate of a stage on some nodes.
  public struct Estimate: Sendable, Equatable {
    /// Bytes that each node reads.
    public let bytesPerNode: Int
    /// Seconds that reading takes when all nodes share the bandwidth.
    public let reading: Double
    /// Seconds of arithmetic.
    public let computing: Double
    /// Reading and computing overlap.
    public var seconds: Double { max(reading, computing) }
    /// Whether the file system decides.
    public var isSaturated: Bool { reading > computing }
  }

  public let cores: Int
  public let assumptions: Assumptions
  private let modelBytes: Int
  private let weights: Int
  private let operationsPerToken: Double

  /// - Parameter cores: the cores of a node.
  public init(_ model: any ModelSource, cores: Int, assumptions: Assumptions = Assumptions()) throws {
    self.cores = cores
    self.assumptions = assumptions
    modelBytes = model.tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
    weights = model.tensors.reduce(0) { $0 + $1.shape.count }
    let dimensions = try ModelDimensions(of: model)
    operationsPerToken = model.tensors.reduce(0) { sum, tensor in
      guard tensor.role != .tokenEmbedding, tensor.shape.rows > 1 else { return sum }
      let isExpert = dimensions.experts > 0 && tensor.name.contains("_exps.")
      let share = isExpert ? Double(dimensions.expertsUsed) / Double(dimensions.experts) : 1
      return sum + 2 * share * Double(tensor.shape.count)
    }
  }

  /// The estimate of a stage in as many parts as nodes.
  public func estimate(_ stage: Stage, nodes: Int) -> Estimate {
    let total = Double(nodes * cores)
    func pass(_ tokens: Int) -> Double { operationsPerToken * Double(tokens) / (total * assumptions.operationsPerCore) }
    let (bytes, computing) =
      switch stage {
      case .importance: (modelBytes, pass(assumptions.importanceTokens))
      // Reference and result run over the same text; the result is a fraction of the model.
      case .drift: (modelBytes, 2 * pass(assumptions.driftTokens))
      case .encoding: (modelBytes / nodes, Double(weights) * assumptions.encodingSeconds / total)
      }
    return Estimate(
      bytesPerNode: bytes, reading: Double(bytes) * Double(nodes) / assumptions.sharedBandwidth, computing: computing)
  }

  /// The number of nodes with the shortest time of a stage: from there on, reading takes as long as computing.
  public func usefulNodes(_ stage: Stage) -> Int {
    let one = estimate(stage, nodes: 1)
    guard one.reading > 0 else { return 1 }
    // Readings of a pass grow with the nodes and computing shrinks; those of an encoding stay.
    let ratio = one.computing / one.reading
    return max(1, Int((stage == .encoding ? ratio : ratio.squareRoot()).rounded(.down)))
  }

  /// Bytes of memory that a part needs at least: states of its windows in work, blocks of weights, a tile of logits.
  public static let minimumMemory = 2 << 30
}
