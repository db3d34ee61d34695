import Blocks
import GGUF
import Synchronization
import Tensors

/// Differences between the tensors of two models; the first model is the reference.
public struct ModelDifference: Sendable {
  /// Tensors that only the first model has.
  public let onlyInFirst: [TensorInfo]
  /// Tensors that only the second model has.
  public let onlyInSecond: [TensorInfo]
  /// Tensors whose shapes differ.
  public let otherShape: [(first: TensorInfo, second: TensorInfo)]
  /// Tensors of equal shape, in the first model's order.
  public let common: [(first: TensorInfo, second: TensorInfo)]

  /// Pairs the tensors of two models by name.
  public init(_ first: any ModelSource, _ second: any ModelSource) {
    onlyInFirst = first.tensors.filter { second.tensor(named: $0.name) == nil }
    onlyInSecond = second.tensors.filter { first.tensor(named: $0.name) == nil }
    let pairs = first.tensors.compactMap { tensor in
      second.tensor(named: tensor.name).map { (first: tensor, second: $0) }
    }
    otherShape = pairs.filter { $0.first.shape != $0.second.shape }
    common = pairs.filter { $0.first.shape == $0.second.shape }
  }

  /// Floats of each model that a thread compares at a time.
  private static let rangeFloats = 1 << 18
  /// The number of such ranges between two calls of an observer.
  private static let batch = 32

  /// The relative squared error of a tensor, sum (a - b)^2 / sum a^2, streamed by rows on all threads. 0 for equal
  /// tensors; NaN if either contains a NaN; infinity if the reference is all zero and the other is not; nil for tensors
  /// that differ where either holds integers.
  ///
  /// The result does not depend on the number of threads.
  ///
  /// - Parameters:
  ///   - pair: an element of ``common``.
  ///   - first: the reference model.
  ///   - second: the other model.
  ///   - progress: advances with every batch of rows.
  /// - Throws: errors of the models and of the observer.
  public static func relativeError(
    _ pair: (first: TensorInfo, second: TensorInfo), _ first: any ModelSource, _ second: any ModelSource,
    progress: any RunObserver = NoObserver()
  ) throws -> Double? {
    let shape = pair.first.shape
    precondition(shape == pair.second.shape, "\(pair.first.name) \(shape) and \(pair.second.shape)")
    let (columns, rows) = (shape.columns, shape.rows)
    guard columns > 0, rows > 0 else { return 0 }
    let grain = max(1, rangeFloats / columns)
    if pair.first.type == pair.second.type {
      let isEqual = Mutex(true)
      let half = PartObserver(of: progress, from: 0, share: 0.5)
      try forEachRange(of: pair.first, grain: grain, progress: half) { _, range in
        guard isEqual.withLock({ $0 }) else { return }
        if try first.bytes(range, of: pair.first) != second.bytes(range, of: pair.second) {
          isEqual.withLock { $0 = false }
        }
      }
      if isEqual.withLock({ $0 }) { return 0 }
    }
    guard !pair.first.type.isInteger, !pair.second.type.isInteger else { return nil }
    let sums = Mutex([RelativeError](repeating: RelativeError(), count: (rows + grain - 1) / grain))
    let isHalf = pair.first.type == pair.second.type
    let part = PartObserver(of: progress, from: isHalf ? 0.5 : 0, share: isHalf ? 0.5 : 1)
    try forEachRange(of: pair.first, grain: grain, progress: part) { index, range in
      let a = try first.floats(range, of: pair.first)
      let b = try second.floats(range, of: pair.second)
      var error = RelativeError()
      error.add(b.span, to: a.span, columns: columns)
      let sum = error
      sums.withLock { $0[index] = sum }
    }
    let total = sums.withLock { $0.reduce(into: RelativeError()) { $0 += $1 } }
    return total.error == 0 ? 0 : total.error / total.energy
  }

  /// Calls `body` for ranges of at most `grain` rows, on all threads.
  private static func forEachRange(
    of tensor: TensorInfo, grain: Int, progress: any RunObserver,
    _ body: @Sendable (_ index: Int, _ rows: Range<Int>) throws -> Void
  ) throws {
    let rows = tensor.shape.rows
    for start in stride(from: 0, to: rows, by: batch * grain) {
      let count = min(batch * grain, rows - start)
      try parallelRanges(count, grain: grain) { index, range in
        try body(start / grain + index, start + range.lowerBound..<start + range.upperBound)
      }
      try progress.advance(RunProgress(fraction: Double(start + count) / Double(rows), detail: tensor.name))
    }
  }
}

extension ModelSource {
  fileprivate func bytes(_ rows: Range<Int>, of tensor: TensorInfo) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: rows.count * (tensor.type.rowBytes(columns: tensor.shape.columns) ?? 0))
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try readBytes(of: tensor, rows: rows, into: &raw)
    return bytes
  }

  fileprivate func floats(_ rows: Range<Int>, of tensor: TensorInfo) throws -> [Float] {
    var values = [Float](repeating: 0, count: rows.count * tensor.shape.columns)
    var span = values.mutableSpan
    try readRows(of: tensor, rows: rows, into: &span)
    return values
  }
}
