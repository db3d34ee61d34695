import GGUF
import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The normalised final states of the scored positions, and the output head that computes their logits.
///
/// Rows are the scored positions, window after window. Logits are computed by tiles. The rows of the head for a tile
/// stay decoded until another range of the vocabulary is requested, so the outer loop should run over the vocabulary
/// and the inner loop over positions. States that exceed their share of the memory budget are in the scratch file;
/// ``load(rows:)`` reads a range of them.
public final class FinalStates {
  /// The number of scored positions in all windows.
  public let rowCount: Int
  /// The number of tokens in the vocabulary: logits of a position.
  public var vocabularyCount: Int { head.shape.rows }
  private let width: Int
  private let scored: Range<Int>
  private(set) var states: Activations
  /// The range of spilled states that is in memory.
  private var loaded: (rows: Range<Int>, states: FloatBuffer)?
  private let head: TensorInfo
  private let logitCap: Float?
  private let logitScale: Float
  private let source: any ModelSource
  private let engine: any ProductEngine
  private var decoded: (rows: Range<Int>, weights: FloatBuffer)?

  /// Bytes that a loaded row needs; 0 where all states are in memory.
  public var loadedRowBytes: Int { states.isSpilled ? width * 4 : 0 }

  /// Final states that are normalised already.
  init(
    _ states: Activations, decoder: Decoder, source: any ModelSource, engine: any ProductEngine, scored: Range<Int>
  ) {
    self.states = states
    self.source = source
    self.engine = engine
    self.scored = scored
    width = decoder.width
    head = decoder.output
    logitCap = decoder.logitCap
    logitScale = decoder.logitScale
    rowCount = states.layout.tokens
  }

  /// Normalises the scored positions of hidden states. States beyond `limit` bytes are spilled to the scratch file.
  static func normalizing(
    _ hidden: HiddenStates, decoder: Decoder, source: any ModelSource, engine: any ProductEngine, scored: Range<Int>,
    limit: Int, observer: (any ForwardObserver)?
  ) throws -> FinalStates {
    let activations = hidden.activations
    let layout = activations.layout
    let kept = layout.firstPosition..<layout.firstPosition + layout.length
    precondition(
      scored.lowerBound >= kept.lowerBound && scored.upperBound <= kept.upperBound, "\(scored) of \(kept)")
    let result = FinalStates(
      Activations(
        layout.keeping(scored), columns: decoder.width,
        storage: ActivationStorage(account: MemoryAccount(limit: limit), scratch: activations.storage.scratch)),
      decoder: decoder, source: source, engine: engine, scored: scored)
    try result.fill(from: activations, decoder, observer)
    return result
  }

  private func fill(
    from activations: Activations, _ decoder: Decoder, _ observer: (any ForwardObserver)?
  ) throws {
    let layout = activations.layout
    let weight = FloatBuffer(count: width)
    try weight.floats.withMutableSpan { try source.readRows(of: decoder.outputNorm, rows: 0..<1, into: &$0) }
    guard isFinite(weight.floats, rows: 1, columns: width) else {
      throw ForwardError.nonFinite(tensor: decoder.outputNorm.name)
    }
    for slab in 0..<layout.slabs {
      let h = try activations.read(slab)
      if !scored.isEmpty {
        try states.update(slab) { out in
          for window in 0..<layout.windows(inSlab: slab).count {
            let first = window * layout.length + scored.lowerBound - layout.firstPosition
            try normalize(
              h.floats.from(first * width), rows: scored.count, columns: width, weight: weight.floats,
              epsilon: decoder.epsilon, into: out.from(window * scored.count * width))
          }
        }
      }
      if let observer, observer.wantsOutput {
        try observeOutput(observer, h, rows: layout.tokens(inSlab: slab), weight, decoder.epsilon)
      }
    }
  }

  /// The importance of the head counts all positions, also those that are not scored.
  private func observeOutput(
    _ observer: any ForwardObserver, _ h: FloatBuffer, rows: Int, _ weight: FloatBuffer, _ epsilon: Float
  ) throws {
    let all = FloatBuffer(count: rows * width)
    try normalize(h.floats, rows: rows, columns: width, weight: weight.floats, epsilon: epsilon, into: all.floats)
    try all.floats.withSpan {
      try observer.observe([head.name], inputs: $0, columns: width, matrix: .whole)
    }
  }

  /// Reads spilled states of some rows into memory, in place of those loaded before.
  public func load(rows: Range<Int>) throws {
    precondition(rows.lowerBound >= 0 && rows.upperBound <= rowCount, "\(rows) of \(rowCount)")
    guard states.isSpilled, !rows.isEmpty, loaded?.rows != rows else { return }
    loaded = nil
    let buffer = FloatBuffer(count: rows.count * width, account: states.storage.account)
    for piece in slabPieces(of: rows) {
      copyRows(
        from: try states.read(piece.slab).floats.from(piece.first * width), stride: width,
        to: buffer.floats.from((piece.rows.lowerBound - rows.lowerBound) * width), stride: width,
        rows: piece.rows.count, columns: width)
    }
    loaded = (rows, buffer)
  }

  /// The rows of `rows` in each slab, and the index of the first within the slab.
  private func slabPieces(of rows: Range<Int>) -> [(slab: Int, rows: Range<Int>, first: Int)] {
    let slabRows = states.layout.windowsPerSlab * states.layout.length
    return (rows.lowerBound / slabRows...(rows.upperBound - 1) / slabRows).map { slab in
      let inSlab = rows.clamped(to: slab * slabRows..<(slab + 1) * slabRows)
      return (slab, inSlab, inSlab.lowerBound - slab * slabRows)
    }
  }

  /// Computes logits [rows, vocabulary] for a range of rows and a range of the vocabulary.
  ///
  /// - Throws: ``ForwardError/nonFinite(tensor:window:position:)``, and errors of the source and the scratch file.
  public func logits(rows: Range<Int>, vocabulary: Range<Int>, into output: inout MutableSpan<Float>) throws {
    precondition(rows.upperBound <= rowCount && vocabulary.upperBound <= vocabularyCount)
    precondition(output.count == rows.count * vocabulary.count, "\(output.count) for \(rows) by \(vocabulary)")
    guard !rows.isEmpty, !vocabulary.isEmpty else { return }
    let weights = try headRows(vocabulary)
    let matrix = WeightMatrix(weights.floats, rows: vocabulary.count, columns: width)
    if states.isSpilled, !(loaded.map { $0.rows.clamped(to: rows) == rows } ?? false) { try load(rows: rows) }
    func multiply(_ x: FloatView, _ range: Range<Int>, into output: inout MutableSpan<Float>) throws {
      let (first, end) = (range.lowerBound - rows.lowerBound, range.upperBound - rows.lowerBound)
      var logits = output._mutatingExtracting(first * vocabulary.count..<end * vocabulary.count)
      do {
        try engine.multiply(x, tokens: range.count, by: matrix, into: &logits, tensor: head.name)
        if logitScale != 1 { for index in logits.indices { logits[index] *= logitScale } }
        if let logitCap { for index in logits.indices { logits[index] = logitCap * tanh(logits[index] / logitCap) } }
      } catch ForwardError.nonFinite(let tensor, _, position: let bad?) {
        let row = range.lowerBound + bad
        throw ForwardError.nonFinite(
          tensor: tensor, window: row / scored.count, position: scored.lowerBound + row % scored.count)
      }
    }
    if let loaded {
      return try multiply(
        loaded.states.floats.from((rows.lowerBound - loaded.rows.lowerBound) * width), rows, into: &output)
    }
    for piece in slabPieces(of: rows) {
      try multiply(states.read(piece.slab).floats.from(piece.first * width), piece.rows, into: &output)
    }
  }

  private func headRows(_ range: Range<Int>) throws -> FloatBuffer {
    if let decoded, decoded.rows == range { return decoded.weights }
    decoded = nil
    let weights = FloatBuffer(count: WeightLayout.count(rows: range.count, columns: width))
    try source.read(head, rows: range, layout: engine.layout, into: weights.floats)
    decoded = (range, weights)
    return weights
  }
}

/// The number of rows of the output head that are decoded at a time.
package let headTile = 1024

/// The maximum number of bytes of logits in memory; larger tiles are not faster.
package let largestLogitTile = 256 << 20
