import GGUF

/// What a forward pass over given windows will take: known before it starts.
public struct ForwardPlan: Sendable, Equatable {
  /// Floats in a block of weights at most.
  let blockLimit: Int
  let windowsPerSlab: Int
  /// Floats of hidden states that are gathered for a group of experts.
  let gatherLimit: Int
  /// Bytes that activations may take before they are spilled.
  let activationLimit: Int
  /// True where the scratch file will be used.
  public let spills: Bool
  /// Bytes in memory at most: weights in flight, hidden states and what a layer computes.
  public let residentBytes: Int
  /// Stored bytes of all weights that the pass reads.
  public let bytesToRead: Int
  /// Floating-point operations of all matrix products.
  public let operations: Double

  /// - Throws: ``ForwardError/budgetTooSmall(bytes:least:)``
  init(_ decoder: Decoder, windows: Int, length: Int, memory: Int) throws(ForwardError) {
    let parts = decoder.layers.flatMap { [$0.attention, $0.feedForward] }
    let matrices = parts.flatMap(\.matrices)
    let widest = parts.map(\.columnsPerToken).max() ?? 0
    // The slowest row decides how small a block may be.
    let longestRow = matrices.map(\.shape.columns).max() ?? decoder.width
    let leastBlock = 4 * max(2 * 64 * longestRow, parts.map(\.leastBlock).max() ?? 0)
    // In work for one slab: states, their normalised form, and the widest part of a layer in two copies.
    let perToken = 4 * (3 * decoder.width + 2 * widest)
    let attention = 128 * length * 4 * 4
    let least = WeightStream.buffers * leastBlock + length * perToken + attention
    guard memory >= least else { throw .budgetTooSmall(bytes: memory, least: least) }
    let tokens = windows * length
    let everything = tokens * 4 * (2 * decoder.width + widest)
    var block = min(64 << 20, max(leastBlock, memory / 16))
    let slabBudget = max(length * perToken, memory / 4)
    windowsPerSlab = max(1, min(windows, min(slabBudget / perToken, 4096) / length))
    let slab = windowsPerSlab * length * perToken + attention
    spills = everything > memory - WeightStream.buffers * block - slab
    // Spilled activations are read again for every block of weights: larger blocks, fewer readings.
    if spills { block = max(leastBlock, (memory - slab) * 2 / 5 / WeightStream.buffers) }
    blockLimit = block / 4
    gatherLimit = max(windowsPerSlab * length * decoder.width, memory / 64)
    activationLimit = max(0, memory - WeightStream.buffers * block - slab)
    residentBytes = WeightStream.buffers * block + slab + min(everything, activationLimit)
    bytesToRead = (matrices + [decoder.output]).reduce(0) { $0 + ($1.shape.bytes(as: $1.type) ?? 0) }
    let weights = decoder.layers.reduce(0.0) { $0 + $1.attention.weightsPerToken + $1.feedForward.weightsPerToken }
    operations = 2 * Double(tokens) * weights
  }
}
