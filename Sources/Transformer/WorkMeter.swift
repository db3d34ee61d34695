import Tensors

/// Tells a run's observer how far a forward pass is, by operations: a layer of an hour moves too.
final class WorkMeter {
  private let total: Double
  private let layers: Int
  private var layer: Int
  private var done: Double
  private let observer: any RunObserver

  /// - Parameter layer: the layer that comes next; later than 0 where an interrupted run goes on.
  init(operations: Double, layers: Int, layer: Int, observer: any RunObserver) {
    total = max(operations, 1)
    self.layers = layers
    self.layer = layer
    done = total * Double(layer) / Double(max(1, layers))
    self.observer = observer
  }

  private func report() throws {
    try observer.advance(
      RunProgress(
        fraction: min(1, done / total), step: layer, stepCount: layers,
        detail: layer == 0 ? "" : "layer \(layer) of \(layers)"))
  }

  /// Counts a product.
  func add(_ operations: Double) throws {
    done += operations
    try report()
  }

  /// Counts layers; tells where a resumed run begins, too.
  func finish(layers done: Int) throws {
    layer = done
    try report()
  }
}
