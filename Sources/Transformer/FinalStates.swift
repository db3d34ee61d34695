import GGUF
import Tensors

/// The normalised final states of the scored positions, window after window, and the output head that turns them into
/// logits.
///
/// Logits are never held as a whole: callers ask for tiles. The rows of the head that a tile needs stay decoded until
/// another range of the vocabulary is asked for, so loop over the vocabulary outside and over positions inside.
public final class FinalStates {
  public let rowCount: Int
  public var vocabularyCount: Int { head.shape.rows }
  private let width: Int
  private let states: FloatBuffer
  private let head: TensorInfo
  private let source: any ModelSource
  private var decoded: (rows: Range<Int>, weights: FloatBuffer)?

  init(
    _ hidden: HiddenStates, decoder: Decoder, source: any ModelSource, scored: Range<Int>,
    observer: (any ForwardObserver)?
  ) throws {
    let activations = hidden.activations
    let layout = activations.layout
    let kept = layout.firstPosition..<layout.firstPosition + layout.length
    precondition(
      scored.lowerBound >= kept.lowerBound && scored.upperBound <= kept.upperBound, "\(scored) of \(kept)")
    width = decoder.width
    head = decoder.output
    self.source = source
    rowCount = layout.windows * scored.count
    states = FloatBuffer(count: rowCount * width)
    let weight = FloatBuffer(count: width)
    defer { extendLifetime((states, weight)) }
    try weight.floats.withMutableSpan { try source.readRows(of: decoder.outputNorm, rows: 0..<1, into: &$0) }
    var row = 0
    for slab in 0..<layout.slabs {
      let h = try activations.read(slab)
      defer { extendLifetime(h) }
      for window in 0..<layout.windows(inSlab: slab).count {
        let first = window * layout.length + scored.lowerBound - layout.firstPosition
        try normalize(
          h.floats.from(first * width), rows: scored.count, columns: width, weight: weight.floats,
          epsilon: decoder.epsilon, into: states.floats.from(row * width))
        row += scored.count
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

  /// Writes logits [rows, vocabulary] for ranges of the scored positions and of the vocabulary.
  public func logits(rows: Range<Int>, vocabulary: Range<Int>, into output: inout MutableSpan<Float>) throws {
    precondition(rows.upperBound <= rowCount && vocabulary.upperBound <= vocabularyCount)
    precondition(output.count == rows.count * vocabulary.count, "\(output.count) for \(rows) by \(vocabulary)")
    let weights = try headRows(vocabulary)
    defer { extendLifetime((weights, states)) }
    try output.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      try product(
        states.floats.from(rows.lowerBound * width), tokens: rows.count,
        by: PackedMatrix(panels: weights.floats, rows: vocabulary.count, columns: width),
        into: Floats(base: base, count: buffer.count), yStride: vocabulary.count, tensor: head.name)
    }
  }

  private func headRows(_ range: Range<Int>) throws -> FloatBuffer {
    if let decoded, decoded.rows == range { return decoded.weights }
    decoded = nil
    let weights = FloatBuffer(count: PackedMatrix.count(rows: range.count, columns: width))
    defer { extendLifetime(weights) }
    try source.read(head, rows: range, isPacked: true, into: weights.floats)
    decoded = (range, weights)
    return weights
  }
}
