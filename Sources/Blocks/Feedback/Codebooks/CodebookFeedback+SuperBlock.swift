import CBlocks

/// One row's 256 weights while they are encoded with feedback. Its memory serves one row after the other.
struct CodebookRow {
  let shape: CodebookShape
  /// Decoded values, [256].
  let v: UnsafeMutablePointer<Float>
  /// Normalised errors, [256].
  let y: UnsafeMutablePointer<Float>
  var block = CodebookSuperBlock()
  private let memory: UnsafeMutablePointer<Float>
  private var path: CodebookPath
  private var best: CodebookPath

  private var length: Int { shape.subBlock }

  init(_ shape: CodebookShape) {
    self.shape = shape
    let size = 3 * 264 + 2 * CodebookPath.size
    memory = .allocate(capacity: size)
    memory.initialize(repeating: 0, count: size)
    v = memory
    y = memory + 264
    path = CodebookPath(memory + 3 * 264)
    best = CodebookPath(memory + 3 * 264 + CodebookPath.size)
  }

  func deallocate() { memory.deallocate() }

  /// Chooses scales and codewords for the fed-back targets of a super-block at a given d.
  ///
  /// - Parameters:
  ///   - targets: [256]; moved by the errors of the row's earlier weights, those of this super-block included.
  ///   - u: the super-block's part of the factor, [256] rows `rowStride` apart, upper triangular.
  ///   - scales: those tried first, or those kept where `choosesScales` is false.
  ///   - bound: the search ends as soon as the cost is not below it.
  /// - Returns: the sum of the squared normalised errors.
  mutating func encode(
    _ targets: UnsafeMutablePointer<Float>, _ metric: CodebookMetric, u: UnsafePointer<Float>, rowStride: Int,
    d: Float16, scales: InlineArray<16, UInt8>, choosesScales: Bool, bound: Float = .infinity
  ) -> Float {
    block.d = d
    var cost: Float = 0
    for j in 0..<shape.subBlocks {
      let start = j * length
      var tried = CodebookScales(near: Int(scales[j]), count: choosesScales ? shape.scaleLevels : 1, shape)
      search(CodebookFeedback(metric: metric, j: j), targets + start, step: Float(d) * shape.step, &tried, .infinity)
      take(j)
      cost += best.cost
      guard cost < bound else { return cost }
      cv_subtract_rows(targets, y + start, length, u + start * rowStride, rowStride, start + length, 256)
    }
    return cost
  }

  /// Encodes sub-block j again and again given all other weights of the row.
  ///
  /// - Parameters:
  ///   - g: (weights - v) H of the super-block's columns; kept up to date.
  ///   - metric: of the sub-blocks of H themselves.
  ///   - h: the super-block's part of H, [256] rows `rowStride` apart.
  mutating func descend(
    _ g: UnsafeMutablePointer<Float>, _ metric: CodebookMetric, h: UnsafePointer<Float>, rowStride: Int
  ) {
    let step = Float(block.d) * shape.step
    guard step != 0 else { return }
    let targets = memory + 2 * 264
    for j in 0..<shape.subBlocks {
      let start = j * length
      let feedback = CodebookFeedback(metric: metric, j: j)
      let cost = cv_solve(g + start, metric.u(j), length, v + start, targets)
      var tried = CodebookScales(near: Int(block.scales[j]), count: 3, shape)
      guard search(feedback, targets, step: step, &tried, cost * 0.99999) else { continue }
      for i in 0..<length { targets[i] = best.v[i] - v[start + i] }
      take(j)
      cv_subtract_rows(g, targets, length, h + start * rowStride, rowStride, 0, 256)
    }
    refit(g, h: h, rowStride: rowStride)
  }

  /// Fits d again for the codes as they are.
  private mutating func refit(_ g: UnsafeMutablePointer<Float>, h: UnsafePointer<Float>, rowStride: Int) {
    let (d, codes, product) = (Float(block.d), memory + 2 * 264, y)
    for i in 0..<256 { codes[i] = v[i] / d }
    for i in stride(from: 0, to: 256, by: 8) { cv_store(product + i, cv_splat(0)) }
    cv_subtract_rows(product, codes, 256, h, rowStride, 0, 256)
    var (square, slope) = (cv_splat(0), cv_splat(0))
    for i in stride(from: 0, to: 256, by: 8) {
      square -= cv_load(codes + i) * cv_load(product + i)
      slope += cv_load(codes + i) * cv_load(g + i)
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
    _ feedback: CodebookFeedback, _ targets: UnsafePointer<Float>, step: Float, _ scales: inout CodebookScales,
    _ bound: Float
  ) -> Bool {
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

  /// Stores the best path as sub-block j.
  private mutating func take(_ j: Int) {
    let (start, words) = (j * length, length / metricDims)
    (v + start).update(from: best.v, count: length)
    (y + start).update(from: best.y, count: length)
    block.scales[j] = UInt8(best.scale)
    for k in 0..<words { block.codes[j * words + k] = best.codes[k] }
    for k in 0..<length / 8 { block.signs[j * (length / 8) + k] = best.signs[k] }
  }

  private var metricDims: Int { shape.codebook.dims }
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
