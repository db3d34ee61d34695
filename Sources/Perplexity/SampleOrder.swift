import Tensors

/// The order in which a comparison that may stop early takes windows.
///
/// A random order makes every beginning a fair sample of the whole text. The first batch has enough windows for a
/// bootstrap over windows, and each further one doubles what was scored: a model is read once a batch, so that stopping
/// never costs more than a few readings.
public struct SampleOrder: Sendable, Equatable {
  /// Windows by their number, ascending in each batch.
  public let batches: [[Int]]

  /// Windows of the first batch.
  public static let firstBatch = 32

  /// An order of `windows` windows; the same seed gives the same order.
  public init(windows: Int, seed: UInt64 = 1) {
    var random = SplitMix(seed: seed)
    var order = Array(0..<windows)
    for index in order.indices.dropLast() { order.swapAt(index, index + random.below(order.count - index)) }
    var batches: [[Int]] = []
    var done = 0
    while done < windows {
      var size = done == 0 ? Self.firstBatch : done
      // A last batch that is small is not worth a reading of its own.
      if windows - done < size * 3 / 2 { size = windows - done }
      batches.append(order[done..<done + size].sorted())
      done += size
    }
    self.batches = batches
  }
}
