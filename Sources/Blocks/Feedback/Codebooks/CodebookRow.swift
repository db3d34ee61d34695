import CBlocks

/// One row's panel while codewords are chosen: targets, values and errors of 256 columns in the order of processing.
struct CodebookRow {
  let shape: CodebookShape
  let t: UnsafeMutablePointer<Float>
  /// Decoded values.
  let v: UnsafeMutablePointer<Float>
  /// Errors to feed back.
  let e: UnsafeMutablePointer<Float>
  /// Gradients of the cost, when codes are refined.
  let g: UnsafeMutablePointer<Float>
  private var path: CodebookPath
  private var best: CodebookPath

  private var length: Int { shape.subBlock }

  /// Floats of its memory.
  static let size = 4 * 256 + 2 * CodebookPath.size

  init(_ shape: CodebookShape, _ memory: UnsafeMutablePointer<Float>) {
    self.shape = shape
    (t, v, e, g) = (memory, memory + 256, memory + 512, memory + 768)
    path = CodebookPath(memory + 1024)
    best = CodebookPath(memory + 1024 + CodebookPath.size)
  }

  /// Chooses a sub-block's scale and codewords for its targets.
  ///
  /// - Parameters:
  ///   - j: the position of the sub-block.
  ///   - order: the natural index of every column.
  ///   - count: how many scales are tried, from the block's on.
  mutating func encode(
    _ j: Int, _ feedback: CodebookFeedback, order: UnsafePointer<UInt8>, count: Int,
    into block: inout CodebookSuperBlock
  ) {
    let start = j * length
    let natural = Int(order[start]) / length
    let step = Float(block.d) * shape.step
    guard step > 0 else {
      feedback.leaveZeros(t + start, v + start, e + start)
      return
    }
    search(feedback, t + start, step: step, CodebookScales(near: Int(block.scales[natural]), count: count, shape))
    take(start, order, into: &block)
    (e + start).update(from: best.e, count: length)
  }

  /// Chooses a sub-block again given all other weights of the row.
  ///
  /// - Parameter gram: the panel's part of H, rows of 256.
  /// - Parameter g: (w - v) H of the panel's columns; kept up to date.
  mutating func refine(
    _ j: Int, _ feedback: CodebookFeedback, order: UnsafePointer<UInt8>, gram: UnsafePointer<Float>,
    gradients g: UnsafeMutablePointer<Float>, into block: inout CodebookSuperBlock
  ) {
    let start = j * length
    let natural = Int(order[start]) / length
    let step = Float(block.d) * shape.step
    guard step > 0 else { return }
    let metric = feedback.metric
    let cost = cv_solve(
      g + start, metric.u(feedback.j), metric.pivots(feedback.j), length, v + start, t + start)
    let scales = CodebookScales(near: Int(block.scales[natural]), count: 3, shape)
    guard search(feedback, t + start, step: step, scales, bound: cost * 0.99999) else { return }
    // The targets were used; their memory takes the differences of the values.
    for i in 0..<length { t[start + i] = best.v[i] - v[start + i] }
    take(start, order, into: &block)
    cv_subtract_rows(g, t + start, length, gram + start * 256, 256, 0, 256)
  }

  /// Fits d again for the codes as they are.
  mutating func refit(
    gram: UnsafePointer<Float>, gradients g: UnsafeMutablePointer<Float>, into block: inout CodebookSuperBlock
  ) {
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

  /// Finds the best of the scales; false where none costs less than `bound`.
  @inline(__always) @discardableResult
  private mutating func search(
    _ feedback: CodebookFeedback, _ targets: UnsafePointer<Float>, step: Float, _ scales: CodebookScales,
    bound: Float = .infinity
  ) -> Bool {
    var scales = scales
    best.cost = bound
    var found = false
    while let k = scales.next() {
      for shift in 0..<(shape.signs == .sharedShift ? 2 : 1) {
        path.t.update(from: targets, count: length)
        guard
          feedback.encode(
            &path, step: step * Float(2 * k + 1), bound: best.cost, shift: shape.signs == .sharedShift ? shift : nil)
        else { continue }
        path.scale = k
        swap(&path, &best)
        found = true
      }
    }
    return found
  }

  /// Stores the best path as the sub-block that begins at `start`.
  private mutating func take(_ start: Int, _ order: UnsafePointer<UInt8>, into block: inout CodebookSuperBlock) {
    (v + start).update(from: best.v, count: length)
    block.scales[Int(order[start]) / length] = UInt8(best.scale)
    let words = 8 / shape.codebook.dims
    for o in 0..<length / 8 {
      let natural = Int(order[start + 8 * o]) / 8
      for k in 0..<words { block.codes[words * natural + k] = best.codes[words * o + k] }
      block.signs[natural] = best.signs[o]
    }
  }
}

/// Scales to try, from the likeliest outwards.
struct CodebookScales {
  private let levels: Int
  private let near: Int
  private var index = 0
  private let count: Int

  /// `count` scales around `near`, or as many of them as there are.
  init(near: Int, count: Int, _ shape: CodebookShape) {
    levels = shape.scaleLevels
    self.near = near
    self.count = count >= shape.scaleLevels ? 2 * shape.scaleLevels : count
  }

  mutating func next() -> Int? {
    while index < count {
      let scale = near + (index & 1 == 0 ? -(index / 2) : (index + 1) / 2)
      index += 1
      if scale >= 0 && scale < levels { return scale }
    }
    return nil
  }
}
