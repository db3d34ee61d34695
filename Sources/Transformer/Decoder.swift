import GGUF

/// A decoder as data: which tensors it has, and how its layers are put together. What an architecture's file makes of a
/// model's metadata, and what the forward pass executes.
public struct Decoder: Sendable {
  /// The value of `general.architecture`.
  public let architecture: String
  /// The length of a hidden state.
  public let width: Int
  /// Tokens of the vocabulary.
  public let vocabularyCount: Int
  /// The context that the model was trained for, in tokens.
  public let contextLength: Int
  /// The positions that attention sees back where they are fewer than a long text has; texts up to this length can be
  /// run.
  public let slidingWindow: Int?
  /// What RMSNorm adds to the mean square.
  let epsilon: Float
  let rope: Rope
  /// llama3's divisors of the rotation frequencies.
  let ropeFactors: TensorInfo?
  let embedding: TensorInfo
  let outputNorm: TensorInfo
  /// The output head; the embedding where the two are tied.
  public let output: TensorInfo
  let layers: [DecoderLayer]

  /// Layers, without those that predict further tokens.
  public var layerCount: Int { layers.count }

  /// Every matrix that a forward pass multiplies by in its layers: an observer sees the inputs of these and no others.
  public var layerMatrices: [TensorInfo] { layers.flatMap { $0.attention.matrices + $0.feedForward.matrices } }
}

/// Attention, then a feed-forward part; each adds to the hidden states.
struct DecoderLayer: Sendable {
  let attention: any LayerPart
  let feedForward: any LayerPart
}

/// One half of a layer.
protocol LayerPart: Sendable {
  /// The blocks that ``run(_:_:keeping:)`` takes first, in order, as far as they are known beforehand.
  func reads(_ limit: Int) -> [WeightRequest]
  /// True where more blocks follow that are known only while the part runs.
  var readsAreOpen: Bool { get }

  /// Adds this part's output to the hidden states.
  ///
  /// - Parameter keeping: where set, only these positions of every window are needed afterwards.
  func run(_ hidden: inout Activations, _ context: LayerContext, keeping: Range<Int>?) throws

  /// Every weight matrix, in the order of use.
  var matrices: [TensorInfo] { get }
  /// Columns that are resident per token while this part runs, beside the hidden states.
  var columnsPerToken: Int { get }
  /// Weights that a token meets, or would meet if it went through every expert.
  func weightsPerToken(allExperts: Bool) -> Double
  /// Elements of queries, keys and results that a token has for every position it attends to.
  var attentionPerToken: Int { get }
  /// Bytes of working memory on all threads, beside what is resident per token, for windows of `length` tokens.
  func scratchBytes(length: Int, isObserved: Bool) -> Int
  /// Floats of the largest block that can't be split.
  var leastBlock: Int { get }
}

/// A weight matrix [inputs, outputs], with its bias where the model has one; or one expert of a stack.
struct Linear: Sendable, Equatable {
  let weight: TensorInfo
  var bias: TensorInfo?
  var matrix = ObservedMatrix.whole

  var inputs: Int { weight.shape.columns }
  var outputs: Int { weight.shape.rowsPerMatrix }

  /// All rows of the matrix.
  var piece: WeightRequest.Piece {
    if case .expert(let index, of: _) = matrix { weight.matrix(index) } else { weight.whole }
  }

  /// Which outputs the rows of a block of this matrix give.
  func outputs(of rows: Range<Int>) -> Range<Int> {
    let first = piece.rows.lowerBound
    return rows.lowerBound - first..<rows.upperBound - first
  }
}

extension LayerPart {
  var readsAreOpen: Bool { false }
  func weightsPerToken(allExperts: Bool) -> Double { matrices.reduce(0) { $0 + Double($1.shape.count) } }
  var attentionPerToken: Int { 0 }
  func scratchBytes(length: Int, isObserved: Bool) -> Int { 0 }
  var leastBlock: Int { 0 }

  /// Floating-point operations of a token in windows of `length`, of which it sees half.
  func operationsPerToken(_ length: Int, _ allExperts: Bool) -> Double {
    2 * weightsPerToken(allExperts: allExperts) + Double(attentionPerToken) * Double(length)
  }
}
