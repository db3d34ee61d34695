import Tensors

/// Reports the progress of a forward pass to an observer, measured in operations so that it also advances in a layer.
final class WorkMeter {
  private let total: Double
  private let layers: Int
  private var layer: Int
  private var done: Double
  private let observer: any RunObserver

  /// - Parameter layer: the index of the next layer; greater than 0 in a resumed run.
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

  /// Adds the operations of a product.
  func add(_ operations: Double) throws {
    done += operations
    try report()
  }

  /// Sets the number of completed layers, also at the start of a resumed run.
  func finish(layers done: Int) throws {
    layer = done
    try report()
  }
}
