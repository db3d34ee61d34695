import GGUF
import Tensors

/// What a forward pass over given windows will take: known before it starts.
public struct ForwardPlan: Sendable, Equatable {
  /// Floats in a block of weights at most.
  private(set) var blockLimit: Int
  let windowsPerSlab: Int
  /// Floats of hidden states that are gathered for a group of experts.
  let gatherLimit: Int
  /// Bytes that activations may take before they are spilled.
  let activationLimit: Int
  /// Bytes that the final states of a run may take before they are spilled.
  let finalLimit: Int
  /// Bytes that the caller may keep beside the pass; 0 unless variants of one model run side by side.
  let sideBytes: Int
  /// True where hidden states go through the scratch file.
  public let spills: Bool
  /// True where a scratch file is used, for hidden or for final states.
  public let needsScratch: Bool
  /// Bytes in memory at most: weights in flight, hidden states, what a layer computes, final states and logits.
  public let residentBytes: Int
  /// Stored bytes of all weights that the pass reads.
  public let bytesToRead: Int
  /// Floating-point operations of the layers, and of the output head.
  let layerOperations: Double
  let headOperations: Double
  /// Floating-point operations of the whole pass.
  public var operations: Double { layerOperations + headOperations }

  /// What the pass is for, which decides what it keeps.
  struct Purpose: Equatable {
    /// Positions of every window whose final states are wanted.
    var scored = 0
    var isObserved = false
    /// Bytes that the observer takes beside its sums.
    var observerBytes = 0
    var wantsOutput = false
    var wantsAllExperts = false
    /// Runs whose final states are in memory at the same time.
    var results = 1
    /// Variants of one model run, of which the caller keeps more than their states.
    var isSideBySide = false

    init(scored: Int = 0, observer: (any ForwardObserver)? = nil, results: Int = 1) {
      self.scored = scored
      self.results = max(1, results)
      isObserved = observer != nil
      observerBytes = observer?.workBytes ?? 0
      wantsOutput = observer?.wantsOutput ?? false
      wantsAllExperts = observer?.wantsAllExperts ?? false
    }
  }

  /// What the program takes beside the pass: itself, the model's metadata and its tokenizer (measured: 37 MB and 220
  /// bytes for each token of the vocabulary), and the metadata of every further model (55 bytes a token).
  static func programBytes(_ decoder: Decoder, models: Int) -> Int {
    (37 << 20) + (256 + 64 * (models - 1)) * decoder.vocabularyCount
  }

  /// What threads work with while they turn final states into logits, and read the states from the scratch file.
  static func logitWorkBytes(_ decoder: Decoder, _ engine: any ProductEngine) -> Int {
    decodingBytes(decoder.output) + Threads.count * (engine.threadBytes + ScratchFile.workBytes)
  }

  /// The rows of the output head that are decoded at a time.
  static func headBytes(_ decoder: Decoder) -> Int { min(decoder.output.shape.rows, headTile) * decoder.width * 4 }

  /// - Throws: ``ForwardError/budgetTooSmall(bytes:least:)``
  init(
    _ decoder: Decoder, windows: Int, length: Int, budget: MemoryBudget, engine: any ProductEngine,
    purpose: Purpose = Purpose()
  ) throws(ForwardError) {
    let parts = decoder.layers.flatMap { [$0.attention, $0.feedForward] }
    let matrices = parts.flatMap(\.matrices)
    let widest = parts.map(\.columnsPerToken).max() ?? 0
    // In work for one slab: states, their normalised form, the widest part of a layer in two copies, and one of these
    // compressed on its way to the scratch file.
    let perToken = 4 * (3 * decoder.width + 2 * widest + max(decoder.width, widest))
    let needs = Self.needs(decoder, parts, length: length, perToken: perToken, engine, purpose)
    let tokens = windows * length
    let finals = windows * purpose.scored * decoder.width * 4
    guard let shares = budget.layers(needs, finals: finals * purpose.results, isSideBySide: purpose.isSideBySide) else {
      throw .budgetTooSmall(
        bytes: budget.total, least: MemoryBudget.minimum(data: needs.data, beside: needs.program))
    }
    finalLimit = budget.finalStates(needs) / purpose.results
    sideBytes = shares.side
    let everything = tokens * 4 * (2 * decoder.width + widest)
    windowsPerSlab = max(1, min(windows, min(shares.slab / perToken, Self.slabTokens) / length))
    let slab = windowsPerSlab * length * perToken
    spills = everything > shares.available - slab - MemoryBudget.weightBlocks * shares.block
    needsScratch = spills || finals > finalLimit
    let block = spills ? shares.spillingBlock(beside: slab) : shares.block
    blockLimit = block / 4
    gatherLimit = max(
      windowsPerSlab * length * decoder.width, min(budget.gatheredFloats, tokens * decoder.width))
    activationLimit = shares.activations(beside: slab, block: block)
    let layers = MemoryBudget.weightBlocks * block + slab + needs.fixed + min(everything, activationLimit)
    let needsHead = purpose.scored > 0
    // Logits of all runs in one tile, and what of the states has to be loaded.
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

  /// For two streams of weights that are read side by side.
  mutating func halveBlocks() { blockLimit /= 2 }

  /// Tokens in work at once, at most: more would not make a product faster.
  private static let slabTokens = 4096

  private static func needs(
    _ decoder: Decoder, _ parts: [any LayerPart], length: Int, perToken: Int, _ engine: any ProductEngine,
    _ purpose: Purpose
  ) -> MemoryBudget.LayerNeeds {
    let matrices = parts.flatMap(\.matrices)
    // The slowest row decides how small a block may be.
    let longestRow = matrices.map(\.shape.columns).max() ?? decoder.width
    return MemoryBudget.LayerNeeds(
      program: programBytes(decoder, models: purpose.results),
      fixed: purpose.observerBytes + (purpose.isObserved ? sums(parts) : 0) + (matrices.map(decodingBytes).max() ?? 0)
        + Threads.count * (engine.threadBytes + ScratchFile.workBytes)
        + (parts.map { $0.scratchBytes(length: length, isObserved: purpose.isObserved) }.max() ?? 0),
      window: length * perToken, block: 4 * max(2 * 64 * longestRow, parts.map(\.leastBlock).max() ?? 0))
  }

  /// Stored and plain rows of every thread while weights are decoded.
  private static func decodingBytes(_ tensor: TensorInfo) -> Int {
    let rows = tensor.rowsPerDecoding
    return Threads.count * rows * (4 * tensor.shape.columns + tensor.storedRowBytes)
  }

  /// Importance: a number for every column of every matrix, and those of one layer in double precision beside it.
  private static func sums(_ parts: [any LayerPart]) -> Int {
    let layers = parts.map { $0.matrices.reduce(0) { $0 + $1.shape.columns * $1.shape.matrices } }
    return 4 * layers.reduce(0, +) + 16 * (layers.max() ?? 0)
  }

  /// A token's row is read once; a short text does not use all of them.
  private static func embeddingBytes(_ decoder: Decoder, tokens: Int) -> Int {
    min(tokens, decoder.embedding.shape.rows) * decoder.embedding.storedRowBytes
  }
}

extension TensorInfo {
  var storedRowBytes: Int { max(1, type.rowBytes(columns: shape.columns) ?? shape.columns * 4) }

  /// Rows that a thread reads and decodes at once: whole panels, and enough bytes for one read.
  var rowsPerDecoding: Int {
    max(1, (1 << 20) / storedRowBytes / WeightLayout.panelRows) * WeightLayout.panelRows
  }
}
