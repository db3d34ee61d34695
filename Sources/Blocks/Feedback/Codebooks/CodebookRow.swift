import CBlocks

/// One row's panel while codewords are chosen: targets, values and errors of 256 columns in the order of processing.
struct CodebookRow {
  let shape: CodebookShape
  let t: UnsafeMutablePointer<Float>
  /// Decoded values.
  let v: UnsafeMutablePointer<Float>
  /// Errors to feed back.
  let e: UnsafeMutablePointer<Float>
  /// (w - v) H while codes are refined, updated after every sub-block.
  let g: UnsafeMutablePointer<Float>

  private var length: Int { shape.subBlock }

  /// Floats of its memory.
  static let size = 4 * 256

  init(_ shape: CodebookShape, _ memory: UnsafeMutablePointer<Float>) {
    self.shape = shape
    (t, v, e, g) = (memory, memory + 256, memory + 512, memory + 768)
  }

  /// Takes over another row's values and errors of the first `done` columns and the targets of the remaining ones.
  func copy(_ other: CodebookRow, done: Int) {
    (t + done).update(from: other.t + done, count: 256 - done)
    v.update(from: other.v, count: done)
    e.update(from: other.e, count: done)
  }

  /// Chooses a sub-block again given all other weights of the row.
  ///
  /// - Parameter gram: the panel's part of H, rows of 256.
  func refine(
    _ j: Int, _ feedback: CodebookFeedback, _ beam: inout CodebookBeam, order: UnsafePointer<UInt8>,
    gram: UnsafePointer<Float>, into block: inout CodebookSuperBlock
  ) {
    let start = j * length
    let step = Float(block.d) * shape.step
    guard step > 0 else { return }
    let metric = feedback.metric
    let cost = cv_solve(g + start, metric.u, metric.pivots, length, v + start, t + start)
    // Smaller gains are rounding errors of the two costs.
    beam.clear(limit: cost * 0.99999)
    feedback.extend(
      t + start, base: 0, parent: 0, step: step,
      CodebookScales(near: Int(block.scales[Int(order[start]) / length]), count: 3, shape), into: &beam)
    guard beam.count > 0 else { return }
    let best = beam[0]
    // The targets were used; their memory takes the differences of the values.
    for i in 0..<length { t[start + i] = best.pointee.v[i] - v[start + i] }
    take(best, start, order, into: &block)
    cv_subtract_rows(g, t + start, length, gram + start * 256, 256, 0, 256)
  }

  /// Fits d again for the codes as they are.
  func refit(gram: UnsafePointer<Float>, into block: inout CodebookSuperBlock) {
    let d = Float(block.d)
    guard d > 0 else { return }
    let (codes, product) = (t, e)
    for i in 0..<256 { (codes[i], product[i]) = (v[i] / d, 0) }
    cv_subtract_rows(product, codes, 256, gram, 256, 0, 256)
    var (square, slope) = (cv_splat(0), cv_splat(0))
    for i in stride(from: 0, to: 256, by: 8) {
      square = cv_fma(cv_load(codes + i), -cv_load(product + i), square)
      slope = cv_fma(cv_load(codes + i), cv_load(g + i), slope)
    }
    let (a, b) = (cv_sum(square), cv_sum(slope))
    guard a > 0 else { return }
    let new = half(d + b / a)
    let change = Float(new) - d
    guard new > 0, change * (change * a - 2 * b) < 0 else { return }
    block.d = new
    for i in stride(from: 0, to: 256, by: 8) {
      cv_store(v + i, cv_load(codes + i) * cv_splat(Float(new)))
      cv_store(g + i, cv_fma(cv_splat(change), cv_load(product + i), cv_load(g + i)))
    }
  }

  /// Stores a path as the sub-block that begins at `start`.
  func take(
    _ path: UnsafeMutablePointer<CodebookPath>, _ start: Int, _ order: UnsafePointer<UInt8>,
    into block: inout CodebookSuperBlock
  ) {
    (v + start).update(from: path.pointee.v, count: length)
    (e + start).update(from: path.pointee.e, count: length)
    block.scales[Int(order[start]) / length] = UInt8(path.pointee.scale)
    let words = 8 / shape.codebook.dims
    for o in 0..<length / 8 {
      let natural = Int(order[start + 8 * o]) / 8
      for k in 0..<words { block.codes[words * natural + k] = path.pointee.codes[words * o + k] }
      block.signs[natural] = path.pointee.signs[o]
    }
  }
}
