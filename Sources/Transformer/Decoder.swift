import GGUF

/// The structure of a decoder: its tensors and layers. An architecture builds it from a model's metadata, and a
/// ``ForwardPass`` executes it.
public struct Decoder: Sendable {
  /// The value of `general.architecture`.
  let architecture: String
  /// Elements of a hidden state.
  public let width: Int
  /// The number of tokens in the vocabulary.
  let vocabularyCount: Int
  /// The context length of the model's training, in tokens.
  public let contextLength: Int
  /// The length of texts up to which results are exact, where the model has a sliding window or a selection of keys that
  /// its layers do not apply; nil otherwise. Longer texts can't be run.
  package let textLimit: TextLimit?
  /// The number that RMSNorm adds to the mean square.
  let epsilon: Float
  /// The rotations of queries and keys. A layer names its rotation by the index.
  let rotations: [LayerRotation]
  let embedding: TensorInfo
  /// The factor of the embedded tokens.
  var embeddingScale: Float = 1
  /// Whether the embedded tokens are normalised, without weights.
  var normalizesEmbedding = false
  /// The inputs of every layer that are embedded from tokens; nil without them.
  var layerInputs: LayerInputs?
  /// The factor of logits, applied before the cap.
  var logitScale: Float = 1
  /// Logits x become cap * tanh(x / cap); nil for unchanged logits.
  var logitCap: Float?
  let outputNorm: TensorInfo
  /// The output head; the embedding of a model with tied weights.
  public let output: TensorInfo
  let layers: [DecoderLayer]

  /// The number of layers, without those of multi-token prediction.
  public var layerCount: Int { layers.count }

  /// The weight matrices of all layers. An observer receives the inputs of these.
  public var layerMatrices: [TensorInfo] { layers.flatMap { $0.parts.flatMap(\.matrices) } }

  /// Floats per token that layers keep for later layers.
  var carriedColumns: Int {
    layers.enumerated().flatMap { index, layer in layer.parts.flatMap { $0.keptColumns(layer: index) } }
      .reduce(layerInputs?.columns ?? 0) { $0 + $1.columns }
  }
}

/// The length of texts that a decoder can run, and the metadata key that limits it.
package struct TextLimit: Sendable, Equatable {
  package let key: String
  package let positions: Int
}

/// Attention, a feed-forward part and, in some architectures, others. Each changes the hidden states.
struct DecoderLayer: Sendable {
  /// In the order of computation.
  let parts: [any LayerPart]

  /// - Parameter others: the parts behind the feed-forward part.
  init(attention: any LayerPart, feedForward: any LayerPart, others: [any LayerPart] = []) {
    parts = [attention, feedForward] + others
  }

  /// The requests that a layer takes before any that depend on routing.
  func firstReads(_ limit: Int) -> [WeightRequest] { parts[0].reads(limit) }
}

/// The name of states that a layer or the embedding keeps for later layers.
enum CarriedStates: Hashable, Sendable {
  case keys(layer: Int)
  case values(layer: Int)
  /// The slice of ``LayerInputs`` for a layer.
  case input(layer: Int)
}

/// A part of a layer: its attention or its feed-forward network.
protocol LayerPart: Sendable {
  /// The requests that ``run(_:_:keeping:)`` takes first, in order, as far as they are known before it runs. Each has
  /// at most `limit` floats.
  func reads(_ limit: Int) -> [WeightRequest]
  /// Whether more requests follow that depend on the routing of tokens.
  var readsDependOnRouting: Bool { get }

  /// Adds this part's output to the hidden states.
  ///
  /// - Parameter keeping: the positions of every window that are needed afterwards; nil for all.
  func run(_ hidden: inout Activations, _ context: LayerContext, keeping: Range<Int>?) throws

  /// The weight matrices, in the order of use.
  var matrices: [TensorInfo] { get }
  /// Floats per token that are in memory while this part runs, in addition to the hidden states.
  var columnsPerToken: Int { get }
  /// Weights by which a token is multiplied, with its own experts or with all experts.
  func weightsPerToken(allExperts: Bool) -> Double
  /// Multiplications of attention for each pair of a token and a position.
  var attentionPerToken: Int { get }
  /// The number of positions that a token sees, with its own; nil for all.
  var slidingWindow: Int? { get }
  /// Bytes of working memory of all threads for windows of `length` tokens, in addition to ``columnsPerToken``.
  func scratchBytes(length: Int, isObserved: Bool) -> Int
  /// Floats of the largest request that can't be split.
  var minimumWeights: Int { get }
  /// The states that this part of a layer keeps for later layers, with their floats per token.
  func keptColumns(layer: Int) -> [(key: CarriedStates, columns: Int)]
}

/// A weight matrix [inputs, outputs] with its optional bias [outputs], or one expert of a stack [inputs, outputs, experts]
/// with biases [outputs, experts].
struct Linear: Sendable, Equatable {
  let weight: TensorInfo
  var bias: TensorInfo?
  var matrix = ObservedMatrix.whole
  /// The rows of a fused matrix that are this one; nil for all.
  var part: Range<Int>?

  var inputs: Int { weight.shape.columns }
  var outputs: Int { part?.count ?? weight.shape.rowsPerMatrix }

  /// All rows of the matrix.
  var piece: WeightRequest.Piece {
    let whole = if case .expert(let index, of: _) = matrix { weight.matrix(index) } else { weight.whole }
    guard let part else { return whole }
    let first = whole.rows.lowerBound
    return WeightRequest.Piece(tensor: weight, rows: first + part.lowerBound..<first + part.upperBound)
  }

  /// Whether rows of a tensor belong to this matrix.
  func covers(_ rows: WeightRequest.Piece) -> Bool {
    rows.tensor == weight && piece.rows.contains(rows.rows.lowerBound)
  }

  /// The outputs of some rows of the tensor, counted within this matrix.
  func outputs(of rows: Range<Int>) -> Range<Int> {
    let first = piece.rows.lowerBound
    return rows.lowerBound - first..<rows.upperBound - first
  }
}

extension LayerPart {
  var readsDependOnRouting: Bool { false }
  func weightsPerToken(allExperts: Bool) -> Double { matrices.reduce(0) { $0 + Double($1.shape.count) } }
  var attentionPerToken: Int { 0 }
  var slidingWindow: Int? { nil }
  func scratchBytes(length: Int, isObserved: Bool) -> Int { 0 }
  var minimumWeights: Int { 0 }
  func keptColumns(layer: Int) -> [(key: CarriedStates, columns: Int)] { [] }

  /// Floating-point operations of a token in windows of `length` tokens. On average it attends to half of them.
  func operationsPerToken(_ length: Int, _ allExperts: Bool) -> Double {
    2 * weightsPerToken(allExperts: allExperts)
      + Double(attentionPerToken) * attendedPositions(length: length, slidingWindow: slidingWindow)
  }
}
