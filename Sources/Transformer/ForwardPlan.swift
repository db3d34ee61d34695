import GGUF
import Tensors

/// The memory and the work of a forward pass over given windows, computed before it starts.
public struct ForwardPlan: Sendable, Equatable {
  /// The maximum number of floats in a ``WeightRequest``.
  private(set) var weightLimit: Int
  let windowsPerSlab: Int
  /// The maximum number of floats of hidden states that are gathered for a group of experts.
  let gatherLimit: Int
  /// The maximum number of bytes of activations in memory; more are spilled to the scratch file.
  let activationLimit: Int
  /// The maximum number of bytes of a run's final states in memory; more are spilled.
  let finalLimit: Int
  /// Bytes that the caller may use during the pass; 0 unless variants of one model run side by side.
  let sideBytes: Int
  /// Whether hidden states are spilled to the scratch file.
  package let spills: Bool
  /// Whether the pass uses a scratch file, for hidden or for final states.
  public let needsScratch: Bool
  /// The maximum number of bytes in memory: weights, hidden states, the results of a layer, final states and logits.
  public let residentBytes: Int
  /// Stored bytes of all weights that the pass reads.
  public let bytesToRead: Int
  /// Floating-point operations of all layers.
  let layerOperations: Double
  /// Floating-point operations of the output head.
  let headOperations: Double
  /// Floating-point operations of the whole pass.
  public var operations: Double { layerOperations + headOperations }

  /// The parameters of a pass that decide what it keeps in memory.
  struct Purpose: Equatable {
    /// Positions of every window whose final states are kept.
    var scored = 0
    var isObserved = false
    /// Bytes that the observer takes beside its sums.
    var observerBytes = 0
    /// Bytes that the observer keeps for a column of a finished layer.
    var bytesPerColumn = 0
    var wantsOutput = false
    var wantsAllExperts = false
    /// Runs whose final states are in memory at the same time.
    var results = 1
    /// Whether variants of one model run side by side; the caller then keeps more than their states.
    var isSideBySide = false

    init(scored: Int = 0, observer: (any ForwardObserver)? = nil, results: Int = 1) {
      self.scored = scored
      self.results = max(1, results)
      isObserved = observer != nil
      observerBytes = observer?.workBytes ?? 0
      bytesPerColumn = observer?.finishedBytesPerColumn ?? 0
      wantsOutput = observer?.wantsOutput ?? false
      wantsAllExperts = observer?.wantsAllExperts ?? false
    }
  }

  /// Bytes of the program, the model's metadata and its tokenizer (measured: 37 MB and 220 bytes per token of the
  /// vocabulary), and of the metadata of every further model (55 bytes per token).
  static func programBytes(_ decoder: Decoder, models: Int) -> Int {
    (37 << 20) + (256 + 64 * (models - 1)) * decoder.vocabularyCount
  }

  /// Bytes that threads need to read final states from the scratch file and to compute logits.
  static func logitWorkBytes(_ decoder: Decoder, _ engine: any ProductEngine) -> Int {
    decodingBytes(decoder.output) + Threads.count * (engine.threadBytes + ScratchFile.workBytes)
  }

  /// Bytes of the rows of the output head that are decoded at a time.
  static func headBytes(_ decoder: Decoder) -> Int { min(decoder.output.shape.rows, headTile) * decoder.width * 4 }

  /// - Throws: ``ForwardError/budgetTooSmall(bytes:minimum:)``
  init(
    _ decoder: Decoder, windows: Int, length: Int, budget: MemoryBudget, engine: any ProductEngine,
    purpose: Purpose = Purpose()
  ) throws(ForwardError) {
    let parts = decoder.layers.flatMap(\.parts)
    let matrices = parts.flatMap(\.matrices)
    let widest = parts.map(\.columnsPerToken).max() ?? 0
    // Memory for one slab: states, normalised states, the widest part of a layer in two copies, and one of these
    // compressed for the scratch file.
    let perToken = 4 * (3 * decoder.width + 2 * widest + max(decoder.width, widest))
    let needs = Self.layerNeeds(decoder, parts, length: length, perToken: perToken, engine, purpose)
    let tokens = windows * length
    let finals = windows * purpose.scored * decoder.width * 4
    guard let shares = budget.layers(needs, finals: finals * purpose.results, isSideBySide: purpose.isSideBySide) else {
      throw .budgetTooSmall(
        bytes: budget.total, minimum: MemoryBudget.minimum(data: needs.data, beside: needs.program))
    }
    finalLimit = budget.finalStates(needs) / purpose.results
    sideBytes = shares.side
    let allStates = tokens * 4 * (2 * decoder.width + widest + decoder.carriedColumns)
    windowsPerSlab = max(1, min(windows, min(shares.slab / perToken, Self.slabTokens) / length))
    let slab = windowsPerSlab * length * perToken
    spills = allStates > shares.available - slab - MemoryBudget.weightBuffers * shares.weights
    needsScratch = spills || finals > finalLimit
    let weights = spills ? shares.spillingWeights(beside: slab) : shares.weights
    weightLimit = weights / 4
    gatherLimit = max(
      windowsPerSlab * length * decoder.width, min(budget.gatheredFloats, tokens * decoder.width))
    activationLimit = shares.activations(beside: slab, weights: weights)
    let layers = MemoryBudget.weightBuffers * weights + slab + needs.fixed + min(allStates, activationLimit)
    let needsHead = purpose.scored > 0
    // The logits of all runs in one tile, and the states that have to be loaded.
    let tile = min(largestLogitTile, windows * purpose.scored * purpose.results * 4 * headTile)
    let loaded = finals > finalLimit ? finals * purpose.results : 0
    let scoring = Self.headBytes(decoder) * purpose.results + Self.logitWorkBytes(decoder, engine) + tile + loaded
    let data = budget.data(beside: needs.program)
    residentBytes =
      needs.program + shares.finals + (needsHead ? max(layers, min(scoring, data - shares.finals)) : layers)
    bytesToRead =
      (matrices + (needsHead ? [decoder.output] : [])).reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
      + Self.embeddingBytes(decoder, tokens: tokens)
    layerOperations =
      Double(tokens) * parts.reduce(0.0) { $0 + $1.operationsPerToken(length, purpose.wantsAllExperts) }
    headOperations = 2 * Double(windows * purpose.scored) * Double(decoder.output.shape.count)
  }

  /// Halves the limit for two streams of weights that are read side by side.
  mutating func halveBlocks() { weightLimit /= 2 }

  /// The maximum number of tokens in a slab of several windows; larger products are not faster.
  private static let slabTokens = 4096

  private static func layerNeeds(
    _ decoder: Decoder, _ parts: [any LayerPart], length: Int, perToken: Int, _ engine: any ProductEngine,
    _ purpose: Purpose
  ) -> MemoryBudget.LayerNeeds {
    let matrices = parts.flatMap(\.matrices)
    // A request has at least 64 rows of gate and up, even of the longest.
    let longestRow = matrices.map(\.shape.columns).max() ?? decoder.width
    return MemoryBudget.LayerNeeds(
      program: programBytes(decoder, models: purpose.results),
      fixed: purpose.observerBytes + (purpose.isObserved ? sums(parts, bytesPerColumn: purpose.bytesPerColumn) : 0)
        + (matrices.map(decodingBytes).max() ?? 0)
        + Threads.count * (engine.threadBytes + ScratchFile.workBytes)
        + (parts.map { $0.scratchBytes(length: length, isObserved: purpose.isObserved) }.max() ?? 0),
      window: length * perToken, weights: 4 * max(2 * 64 * longestRow, parts.map(\.minimumWeights).max() ?? 0))
  }

  /// Bytes of stored and decoded rows of all threads.
  private static func decodingBytes(_ tensor: TensorInfo) -> Int {
    let rows = tensor.rowsPerDecoding
    return Threads.count * rows * (4 * tensor.shape.columns + tensor.storedRowBytes)
  }

  /// Bytes of an observer's sums: some per column of every matrix, and two doubles per column of one layer.
  private static func sums(_ parts: [any LayerPart], bytesPerColumn: Int) -> Int {
    let layers = parts.map { $0.matrices.reduce(0) { $0 + $1.shape.columns * $1.shape.matrices } }
    return bytesPerColumn * layers.reduce(0, +) + 16 * (layers.max() ?? 0)
  }

  /// Stored bytes of the embedding rows that a text needs at most.
  private static func embeddingBytes(_ decoder: Decoder, tokens: Int) -> Int {
    min(tokens, decoder.embedding.shape.rows) * decoder.embedding.storedRowBytes
  }
}

extension TensorInfo {
  var storedRowBytes: Int { max(1, type.rowBytes(columns: shape.columns) ?? shape.columns * 4) }

  /// Rows that a thread reads and decodes at a time: whole panels of about 1 MiB.
  var rowsPerDecoding: Int {
    max(1, (1 << 20) / storedRowBytes / WeightLayout.panelRows) * WeightLayout.panelRows
  }
}
