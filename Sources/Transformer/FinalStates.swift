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
  public let rowCount: Int
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

  init(
    _ hidden: HiddenStates, decoder: Decoder, source: any ModelSource, engine: any ProductEngine, scored: Range<Int>,
    limit: Int, observer: (any ForwardObserver)?
  ) throws {
    let activations = hidden.activations
    let layout = activations.layout
    let kept = layout.firstPosition..<layout.firstPosition + layout.length
    precondition(
      scored.lowerBound >= kept.lowerBound && scored.upperBound <= kept.upperBound, "\(scored) of \(kept)")
    width = decoder.width
    head = decoder.output
    self.source = source
    self.engine = engine
    self.scored = scored
    rowCount = layout.windows * scored.count
    states = Activations(
      layout.keeping(scored), columns: width,
      storage: ActivationStorage(account: MemoryAccount(limit: limit), scratch: activations.storage.scratch))
    let weight = FloatBuffer(count: width)
    defer { extendLifetime(weight) }
    try weight.floats.withMutableSpan { try source.readRows(of: decoder.outputNorm, rows: 0..<1, into: &$0) }
    guard isFinite(weight.floats, rows: 1, columns: width) else {
      throw ForwardError.nonFinite(tensor: decoder.outputNorm.name)
    }
    for slab in 0..<layout.slabs {
      let h = try activations.read(slab)
      defer { extendLifetime(h) }
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
    defer { extendLifetime((all, weight)) }
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
    defer { extendLifetime(buffer) }
    try forEachSlab(of: rows) { slab, own, first in
      let part = try states.read(slab)
      defer { extendLifetime(part) }
      copyRows(
        from: part.floats.from(first * width), stride: width,
        to: buffer.floats.from((own.lowerBound - rows.lowerBound) * width), stride: width, rows: own.count,
        columns: width)
    }
    loaded = (rows, buffer)
  }

  /// The part of `rows` in each slab, and where in the slab it begins.
  private func forEachSlab(of rows: Range<Int>, _ body: (_ slab: Int, _ rows: Range<Int>, _ first: Int) throws -> Void)
    rethrows
  {
    let slabRows = states.layout.windowsPerSlab * states.layout.length
    for slab in rows.lowerBound / slabRows...(rows.upperBound - 1) / slabRows {
      let own = rows.clamped(to: slab * slabRows..<(slab + 1) * slabRows)
      try body(slab, own, own.lowerBound - slab * slabRows)
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
    defer { extendLifetime(weights) }
    let matrix = WeightMatrix(weights.floats, rows: vocabulary.count, columns: width)
    if states.isSpilled, !(loaded.map { $0.rows.clamped(to: rows) == rows } ?? false) { try load(rows: rows) }
    try output.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      let out = Floats(base: base, count: buffer.count)
      func multiply(_ x: Floats, _ own: Range<Int>) throws {
        do {
          try engine.multiply(
            x, tokens: own.count, by: matrix, into: out.from((own.lowerBound - rows.lowerBound) * vocabulary.count),
            yStride: vocabulary.count, tensor: head.name)
        } catch ForwardError.nonFinite(let tensor, _, position: let bad?) {
          let row = own.lowerBound + bad
          throw ForwardError.nonFinite(
            tensor: tensor, window: row / scored.count, position: scored.lowerBound + row % scored.count)
        }
      }
      if let loaded {
        defer { extendLifetime(loaded.states) }
        return try multiply(loaded.states.floats.from((rows.lowerBound - loaded.rows.lowerBound) * width), rows)
      }
      try forEachSlab(of: rows) { slab, own, first in
        let x = try states.read(slab)
        defer { extendLifetime(x) }
        try multiply(x.floats.from(first * width), own)
      }
    }
  }

  private func headRows(_ range: Range<Int>) throws -> FloatBuffer {
    if let decoded, decoded.rows == range { return decoded.weights }
    decoded = nil
    let weights = FloatBuffer(count: WeightLayout.count(rows: range.count, columns: width))
    defer { extendLifetime(weights) }
    try source.read(head, rows: range, layout: engine.layout, into: weights.floats)
    decoded = (range, weights)
    return weights
  }
}

/// Rows of a model's output head that are decoded at a time while its logits are asked for.
public let headTile = 1024

/// Bytes of logits that are in memory at the same time, at most: more would not make them faster.
public let largestLogitTile = 256 << 20
