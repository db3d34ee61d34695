import Tensors

/// The order of windows in a comparison that may stop early.
///
/// The order is random, so that every prefix is a fair sample of the text. The first batch has enough windows for a
/// bootstrap over windows. Each further batch doubles the number of scored windows, so that a model is read only a few
/// times.
public struct SampleOrder: Sendable, Equatable {
  /// Indices of windows, ascending in each batch.
  public let batches: [[Int]]

  /// The number of windows in the first batch.
  private static let firstBatch = 32

  /// An order of `windows` windows; the same seed gives the same order.
  public init(windows: Int, seed: UInt64 = 1) {
    var random = SplitMix(seed: seed)
    var order = Array(0..<windows)
    for index in order.indices.dropLast() { order.swapAt(index, index + random.below(order.count - index)) }
    var batches: [[Int]] = []
    var done = 0
    while done < windows {
      var size = done == 0 ? Self.firstBatch : done
      // A small last batch is joined to this one, to save a pass over the model.
      if windows - done < size * 3 / 2 { size = windows - done }
      batches.append(order[done..<done + size].sorted())
      done += size
    }
    self.batches = batches
  }
}
