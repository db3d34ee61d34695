import GGUF
import Tensors

/// The normalised final states of the scored positions, window after window, and the output head that turns them into
/// logits.
///
/// Logits are never held as a whole: callers ask for tiles. The rows of the head that a tile needs stay decoded until
/// another range of the vocabulary is asked for, so loop over the vocabulary outside and over positions inside. States
/// that exceed their part of the memory budget lie in the scratch file, and come back by ranges of positions:
/// ``load(rows:)``.
public final class FinalStates {
  /// Scored positions, window after window.
  public let rowCount: Int
  /// Tokens of the vocabulary: logits of a position.
  public var vocabularyCount: Int { head.shape.rows }
  private let width: Int
  private let scored: Range<Int>
  private(set) var states: Activations
  /// Spilled states that are in memory: those of some rows, at least.
  private var loaded: (rows: Range<Int>, states: FloatBuffer)?
  private let head: TensorInfo
  private let source: any ModelSource
  private let engine: any ProductEngine
  private var decoded: (rows: Range<Int>, weights: FloatBuffer)?

  /// Bytes of a position's states while they are loaded; 0 where all are in memory anyway.
  public var loadedRowBytes: Int { states.isSpilled ? width * 4 : 0 }

  /// States that were normalised before.
  init(
    _ states: Activations, decoder: Decoder, source: any ModelSource, engine: any ProductEngine, scored: Range<Int>
  ) {
    self.states = states
    self.source = source
    self.engine = engine
    self.scored = scored
    width = decoder.width
    head = decoder.output
    rowCount = states.layout.tokens
  }

  /// Normalizes the hidden states of the scored positions. States beyond `limit` bytes go to the scratch file.
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

  /// Importance of the head counts every position, scored or not.
  private func observeOutput(
    _ observer: any ForwardObserver, _ h: FloatBuffer, rows: Int, _ weight: FloatBuffer, _ epsilon: Float
  ) throws {
    let all = FloatBuffer(count: rows * width)
    try normalize(h.floats, rows: rows, columns: width, weight: weight.floats, epsilon: epsilon, into: all.floats)
    try all.floats.withSpan {
      try observer.observe([head.name], inputs: $0, columns: width, matrix: .whole)
    }
  }

  /// Brings the states of some positions into memory, where they are not, in place of others.
  public func load(rows: Range<Int>) throws {
    precondition(rows.lowerBound >= 0 && rows.upperBound <= rowCount, "\(rows) of \(rowCount)")
    guard states.isSpilled, !rows.isEmpty, loaded?.rows != rows else { return }
    loaded = nil
    let buffer = FloatBuffer(count: rows.count * width, account: states.storage.account)
    for part in slabParts(of: rows) {
      copyRows(
        from: try states.read(part.slab).floats.from(part.first * width), stride: width,
        to: buffer.floats.from((part.rows.lowerBound - rows.lowerBound) * width), stride: width, rows: part.rows.count,
        columns: width)
    }
    loaded = (rows, buffer)
  }

  /// The part of `rows` in each slab, and the row of the slab with which it begins.
  private func slabParts(of rows: Range<Int>) -> [(slab: Int, rows: Range<Int>, first: Int)] {
    let slabRows = states.layout.windowsPerSlab * states.layout.length
    return (rows.lowerBound / slabRows...(rows.upperBound - 1) / slabRows).map { slab in
      let part = rows.clamped(to: slab * slabRows..<(slab + 1) * slabRows)
      return (slab, part, part.lowerBound - slab * slabRows)
    }
  }

  /// Writes logits [rows, vocabulary] for ranges of the scored positions and of the vocabulary.
  ///
  /// - Throws: ``ForwardError/nonFinite(tensor:window:position:)``, and what reading throws.
  public func logits(rows: Range<Int>, vocabulary: Range<Int>, into output: inout MutableSpan<Float>) throws {
    precondition(rows.upperBound <= rowCount && vocabulary.upperBound <= vocabularyCount)
    precondition(output.count == rows.count * vocabulary.count, "\(output.count) for \(rows) by \(vocabulary)")
    guard !rows.isEmpty, !vocabulary.isEmpty else { return }
    let weights = try headRows(vocabulary)
    let matrix = WeightMatrix(weights.floats, rows: vocabulary.count, columns: width)
    if states.isSpilled, !(loaded.map { $0.rows.clamped(to: rows) == rows } ?? false) { try load(rows: rows) }
    func multiply(_ x: Floats, _ part: Range<Int>, into output: inout MutableSpan<Float>) throws {
      var logits = output._mutatingExtracting(
        (part.lowerBound - rows.lowerBound) * vocabulary.count..<(part.upperBound - rows.lowerBound) * vocabulary.count)
      do {
        try engine.multiply(x, tokens: part.count, by: matrix, into: &logits, tensor: head.name)
      } catch ForwardError.nonFinite(let tensor, _, position: let bad?) {
        let row = part.lowerBound + bad
        throw ForwardError.nonFinite(
          tensor: tensor, window: row / scored.count, position: scored.lowerBound + row % scored.count)
      }
    }
    if let loaded {
      return try multiply(
        loaded.states.floats.from((rows.lowerBound - loaded.rows.lowerBound) * width), rows, into: &output)
    }
    for part in slabParts(of: rows) {
      try multiply(states.read(part.slab).floats.from(part.first * width), part.rows, into: &output)
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

/// Rows of a model's output head that are decoded at a time while its logits are asked for.
public let headTile = 1024

/// Bytes of logits that are in memory at the same time, at most: more would not make them faster.
public let largestLogitTile = 256 << 20
