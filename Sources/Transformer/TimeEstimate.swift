import Files
import GGUF
import Tensors

extension ForwardPass {
  /// The estimated duration of a pass on this machine, in seconds.
  ///
  /// It measures products for a tenth of a second, and the reading and decoding of at most a hundredth of the weights.
  /// The two are added; in a pass they overlap, so it is usually faster.
  ///
  /// - Throws: ``ForwardError``, and errors of the source.
  public func estimatedSeconds(_ plan: ForwardPlan) throws -> Double {
    plan.operations / (try operationsPerSecond()) + (try secondsPerByte(plan) * Double(plan.bytesToRead))
  }

  /// Floating-point operations per second of products, and seconds for each stored byte that is read and decoded.
  package func measuredSpeed(_ plan: ForwardPlan) throws -> (operations: Double, secondsPerByte: Double) {
    (try operationsPerSecond(), try secondsPerByte(plan))
  }

  private func operationsPerSecond() throws -> Double {
    let (tokens, columns, rows) = (384, 1024, 1024)
    let buffer = FloatBuffer(count: columns * (tokens + rows) + tokens * rows)
    buffer.floats.fill(with: 1)
    let x = buffer.floats.slice(0, tokens * columns)
    let w = WeightMatrix(buffer.floats.slice(x.count, rows * columns), rows: rows, columns: columns)
    let y = buffer.floats.from(x.count + rows * columns)
    let clock = ContinuousClock()
    let start = clock.now
    var count = 0.0
    repeat {
      try engine.multiply(x, tokens: tokens, by: w, into: y, yStride: rows, tensor: "estimate")
      count += 1
    } while clock.now - start < .milliseconds(100)
    return count * 2 * Double(tokens * columns * rows) / max(1e-9, (clock.now - start).inSeconds)
  }

  /// Reads at most a hundredth of the weights.
  private func secondsPerByte(_ plan: ForwardPlan) throws -> Double {
    for matrix in decoder.layerMatrices.sorted(by: { $0.shape.count > $1.shape.count }) {
      do { return try secondsPerByte(of: matrix, plan) } catch let error as FileError where error.operation == .removed
      {
        continue
      }
    }
    return 0
  }

  private func secondsPerByte(of largest: TensorInfo, _ plan: ForwardPlan) throws -> Double {
    let bytes = min(plan.bytesToRead / 100, 64 << 20, plan.weightLimit * 4)
    let rows = min(largest.shape.rows, bytes / max(largest.storedRowBytes, largest.shape.columns * 4))
    guard rows > 0 else { return 0 }
    let buffer = FloatBuffer(count: WeightLayout.count(rows: rows, columns: largest.shape.columns))
    let clock = ContinuousClock()
    let start = clock.now
    try source.read(largest, rows: 0..<rows, layout: engine.layout, into: buffer.floats)
    return (clock.now - start).inSeconds / Double(rows * largest.storedRowBytes)
  }
}

extension Duration {
  fileprivate var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
