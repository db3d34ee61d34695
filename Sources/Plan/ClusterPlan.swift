import GGUF
import Quantize
import Tensors

/// Estimated times of a run in parts on the nodes of a cluster, and the number of nodes from which more do not help.
///
/// A part of a pass over text reads the whole model, so N nodes read it N times from one file system. A part of an
/// encoding reads only its own tensors. With error feedback it runs its own layers, and begins with the hidden states that
/// the parts of the importance have kept; without them, it also runs the exact model up to its own layers.
public struct ClusterPlan: Sendable {
  /// The assumptions of the estimates.
  public struct Assumptions: Sendable, Equatable {
    /// Floating-point operations per second of a core in the matrix product. Measured: 75 to 85 GFLOP/s on an idle core
    /// (Documentation/benchmarks-forward.md), 60 with other work on the machine (Documentation/clusters.md); all cores of
    /// a node share its memory and power.
    public var operationsPerCore = 6e10
    /// Seconds of a core for a weight that is encoded: the mean of all types (Documentation/benchmarks.md); K-quants take
    /// 0.01 to 0.03 µs.
    public var encodingSeconds = 4e-8
    /// Seconds of a core for a weight that is encoded with error feedback, without products: K-quants of 256 columns take
    /// 0.4 to 0.6 µs at effort 3 (Documentation/benchmarks.md).
    public var feedbackSeconds = 5e-7
    /// Bytes per second of the shared file system, for all nodes together.
    public var sharedBandwidth = 2e9
    /// Tokens of the text for importance and error feedback: the text that ships with qtool.
    public var importanceTokens = 93_184
    /// Tokens of the text of the comparison.
    public var driftTokens = 51_200

    /// The defaults.
    public init() {}
  }

  /// A command that is done in parts.
  public enum Stage: String, Sendable, CaseIterable {
    case importance, encoding
    /// Encoding with error feedback, from the hidden states that the parts of the importance have kept.
    case feedback
    /// Encoding with error feedback whose parts run the exact model up to their own layers.
    case feedbackAlone = "feedback, no states"
    case drift
  }

  /// The estimate of a stage on some nodes.
  public struct Estimate: Sendable, Equatable {
    /// Parts of the stage: the nodes, but with error feedback at most one for every layer.
    public let parts: Int
    /// Bytes that each node reads; the last part's with error feedback.
    public let bytesPerNode: Int
    /// Seconds that the reading of all nodes takes when they share the bandwidth.
    public let reading: Double
    /// Seconds of the arithmetic of the longest part.
    public let computing: Double
    /// Reading and computing overlap.
    public var seconds: Double { max(reading, computing) }
    /// Whether the file system decides.
    public var isSaturated: Bool { reading > computing }
  }

  public let cores: Int
  public let assumptions: Assumptions
  private let storedBytes: Int
  private let weights: Int
  private let layers: Int
  /// Bytes of the hidden states of the text for error feedback before one layer.
  public let stateBytes: Int
  private let operationsPerToken: Double
  private let feedback: FeedbackOperations

  /// - Parameters:
  ///   - storedBytes: bytes of the weights as they are stored; nil for those of the model's types.
  ///   - cores: the cores of a node.
  public init(
    _ model: any ModelSource, storedBytes: Int? = nil, cores: Int, assumptions: Assumptions = Assumptions()
  ) throws {
    self.cores = cores
    self.assumptions = assumptions
    self.storedBytes = storedBytes ?? model.tensors.reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
    weights = model.tensors.reduce(0) { $0 + $1.shape.count }
    let dimensions = try ModelDimensions(of: model)
    layers = max(1, model.tensors.reduce(0) { max($0, (TensorName($1.name).layer ?? -1) + 1) })
    stateBytes = 4 * assumptions.importanceTokens * dimensions.width
    let used = dimensions.experts > 0 ? Double(dimensions.expertsUsed) / Double(dimensions.experts) : 1
    operationsPerToken = model.tensors.reduce(0) { sum, tensor in
      guard tensor.role != .tokenEmbedding, tensor.shape.rows > 1 else { return sum }
      return sum + 2 * (tensor.name.contains("_exps.") ? used : 1) * Double(tensor.shape.count)
    }
    feedback = FeedbackOperations(
      model, tokens: Double(assumptions.importanceTokens), usedExperts: used, isSequential: dimensions.experts == 0)
  }

  /// The estimate of a stage in as many parts as nodes.
  public func estimate(_ stage: Stage, nodes: Int) -> Estimate {
    let parts = stage == .feedback || stage == .feedbackAlone ? min(nodes, layers) : nodes
    let speed = Double(cores) * assumptions.operationsPerCore
    // Seconds of the exact model on one node.
    func pass(_ tokens: Int) -> Double { operationsPerToken * Double(tokens) / speed }
    let share = 1 / Double(parts)
    switch stage {
    case .importance:
      return estimate(parts, storedBytes, storedBytes * parts, share * pass(assumptions.importanceTokens))
    case .drift:
      // Reference and result run over the same text; the result is a fraction of the model.
      return estimate(parts, storedBytes, storedBytes * parts, share * 2 * pass(assumptions.driftTokens))
    case .encoding:
      return estimate(
        parts, storedBytes / parts, storedBytes, share * Double(weights) * assumptions.encodingSeconds / Double(cores))
    case .feedback, .feedbackAlone:
      let streams = feedback.isSequential ? 2.0 : 1
      let encoding = Double(weights) * assumptions.feedbackSeconds / Double(cores)
      let whole = streams * pass(assumptions.importanceTokens) + feedback.operations / speed + encoding
      // The longest part has a whole number of layers. Each is read by the pass and by the encoder.
      let own = Double((layers + parts - 1) / parts) / Double(layers)
      if stage == .feedback {
        let states = parts > 1 ? stateBytes : 0
        // Written by the parts of the importance, and read.
        return estimate(
          parts, 2 * storedBytes / parts + states, 2 * storedBytes + 2 * keptBytes(parts: parts), own * whole)
      }
      // The last part runs the exact model through all layers before its own.
      return estimate(
        parts, storedBytes + storedBytes / parts, storedBytes * (parts + 1) / 2 + storedBytes,
        (1 - own) * pass(assumptions.importanceTokens) + own * whole)
    }
  }

  /// Bytes of the hidden states that the importance keeps for parts with error feedback: before each part but the first.
  public func keptBytes(parts: Int) -> Int { (min(parts, layers) - 1) * stateBytes }

  private func estimate(_ parts: Int, _ bytesPerNode: Int, _ allBytes: Int, _ computing: Double) -> Estimate {
    Estimate(
      parts: parts, bytesPerNode: bytesPerNode, reading: Double(allBytes) / assumptions.sharedBandwidth,
      computing: computing)
  }

  /// The number of nodes with the shortest time of a stage: with more of them, reading takes longer than computing.
  public func usefulNodes(_ stage: Stage) -> Int {
    var best = (nodes: 1, seconds: estimate(stage, nodes: 1).seconds)
    for nodes in 2...Self.maximumNodes {
      let seconds = estimate(stage, nodes: nodes).seconds
      // A hundredth is not worth a node.
      if seconds < 0.99 * best.seconds { best = (nodes, seconds) }
    }
    return best.nodes
  }

  private static let maximumNodes = 4096

  /// Bytes of memory that a part needs at least: states of its windows in work, blocks of weights, a tile of logits.
  public static let minimumMemory = 2 << 30
}

/// Operations of error feedback beside the streams: Gram matrices, their factors, and products with the errors of rows.
private struct FeedbackOperations: Sendable {
  let operations: Double
  /// Sums of products of inputs with 256 to 1536 columns take twice as long as products with as many operations: slopes over
  /// the tokens of the demo model and SmolLM2-135M (Documentation/error-feedback.md).
  private static let slowness = 2.0
  /// Whether a second stream runs beside the exact model.
  let isSequential: Bool

  init(_ model: any ModelSource, tokens: Double, usedExperts: Double, isSequential: Bool) {
    self.isSequential = isSequential
    var operations = 0.0
    for tensor in model.tensors where tensor.isQuantizable && TensorName(tensor.name).layer != nil {
      let (n, matrices) = (Double(tensor.shape.columns), Double(tensor.shape.matrices))
      // Errors go to half of the later columns on average; each sweep multiplies by all. Then the correction's product.
      operations += Double(tensor.shape.count) * n * (isSequential ? 9 : 7)
      // Matrices that share an input with another one.
      let kind = TensorName(tensor.name).layerClass
      if ["attn_k.weight", "attn_v.weight", "ffn_up.weight", "ffn_up_exps.weight"].contains(kind) { continue }
      let sums = tokens * (matrices > 1 ? usedExperts * matrices : 1) * n * n * (isSequential ? 3 : 1)
      operations += Self.slowness * sums
      // Factors in double precision, at half the speed.
      operations += 2 * matrices * n * n * n * (4.0 / 3 + (isSequential ? 2.0 / 3 + 2 : 0))
    }
    self.operations = operations
  }
}
