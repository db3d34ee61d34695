import CVectors
import Tensors

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

// The gated delta rule ("Gated Delta Networks", arXiv 2412.06464). A head has a state S [size, size], at first zero. With
// its query q, key k, value v, logarithmic decay g and rate b, a token changes the state and reads from it:
//
//   S <- e^g S
//   d = b (v - Sᵀ k)
//   S <- S + k dᵀ
//   o = Sᵀ q
//
// A chunk of tokens is computed together. With the sums G of its decays, and S before it,
//
//   d_i = b_i (v_i - e^G_i Sᵀ k_i) - sum over j < i of b_i e^(G_i - G_j) (k_i · k_j) d_j
//   o_i = e^G_i Sᵀ q_i + sum over j <= i of e^(G_i - G_j) (q_i · k_j) d_j
//   S  <- e^G_n S + sum over j of e^(G_n - G_j) k_j d_jᵀ
//
// so that all but the sum over j < i are products of matrices. Decays are not positive, and no exponential exceeds 1.

/// The tokens of a chunk.
let deltaChunk = 64

/// The shapes of gated delta nets over whole windows. The rows of every matrix are tokens, window after window.
struct DeltaShape: Sendable {
  let windows: Int
  /// Tokens in a window.
  let length: Int
  /// Elements of a head.
  let size: Int
  let keyHeads: Int
  /// The value heads of each key head.
  let groups: [[Int]]
  /// For each value head, the column of its rate and of its decay.
  let rateColumns: [Int]
  let decayColumns: [Int]
  /// Tokens that the convolution covers.
  let convolution: Int
  /// Tokens that are computed together.
  var chunk = deltaChunk

  var valueHeads: Int { rateColumns.count }
  /// Columns of queries, keys and values.
  var channels: Int { 2 * keyHeads * size + valueHeads * size }

  /// Floats of a task's working memory.
  var workCount: Int { DeltaWork.count(self) }
}

/// The small tensors of a gated delta net.
struct DeltaWeights: Sendable {
  /// [convolution, channels]
  let kernel: FloatView
  /// The factors of decays, [valueHeads].
  let a: FloatView
  /// The terms of decays, [valueHeads].
  let dt: FloatView
  /// The weights of RMSNorm over each head's output.
  let norm: FloatView
  let epsilon: Float
}

/// Computes the outputs of gated delta nets: convolves queries, keys and values over time, applies the delta rule, and
/// normalises and gates what it gives.
///
/// mixed [windows x length, channels]: queries, keys and values of all heads. rates [.., columns]. gates and out
/// [.., valueHeads x size].
func gatedDelta(
  _ mixed: FloatView, rates: FloatView, rateStride: Int, gates: FloatView, into out: FloatView, _ weights: DeltaWeights,
  _ shape: DeltaShape, engine: any ProductEngine
) throws {
  try parallelRanges(shape.windows * shape.keyHeads, grain: 1) { index, _ in
    let (window, keyHead) = index.quotientAndRemainder(dividingBy: shape.keyHeads)
    let first = window * shape.length
    let task = DeltaTask(
      mixed: mixed.from(first * shape.channels), rates: rates.from(first * rateStride), rateStride: rateStride,
      gates: gates.from(first * shape.valueHeads * shape.size), out: out.from(first * shape.valueHeads * shape.size),
      weights: weights, shape: shape, keyHead: keyHead, engine: engine)
    task.run()
  }
}

/// The working memory of a task.
private struct DeltaWork {
  /// Keys, then queries, [2 x chunk, size].
  let heads: FloatView
  /// [size, chunk]
  let turnedKeys: FloatView
  /// The products of keys, then of queries, with keys, [2 x chunk, chunk].
  let scores: FloatView
  /// The products of keys, then of queries, with the state, [2 x chunk, size].
  let read: FloatView
  /// Values, then their differences, [chunk, size].
  let values: FloatView
  /// [size, chunk]
  let turned: FloatView
  /// Scores of queries with decays, [chunk, chunk].
  let weights: FloatView
  /// The change of a state, [size, size].
  let change: FloatView
  /// Results, [chunk, size].
  let results: FloatView
  /// Sums of decays, exponentials and rates, [3, chunk], and a vector that may be read.
  let factors: FloatView
  /// The transposed states of all value heads, [.., size, size].
  let states: FloatView

  static func sizes(_ shape: DeltaShape) -> [Int] {
    let (c, n) = (shape.chunk, shape.size)
    let states = (shape.groups.map(\.count).max() ?? 0) * n * n
    return [2 * c * n, n * c, 2 * c * c, 2 * c * n, c * n, n * c, c * c, n * n, c * n, 3 * c + 8, states]
  }

  static func count(_ shape: DeltaShape) -> Int { sizes(shape).reduce(0, +) }

  init(_ shape: DeltaShape) {
    let buffer = FloatBuffer(count: Self.count(shape))
    var offset = 0
    let parts = Self.sizes(shape).map { size in
      defer { offset += size }
      return buffer.floats.slice(offset, size)
    }
    (heads, turnedKeys, scores, read, values, turned) = (parts[0], parts[1], parts[2], parts[3], parts[4], parts[5])
    (weights, change, results, factors, states) = (parts[6], parts[7], parts[8], parts[9], parts[10])
  }
}

/// The value heads of one key head in one window.
private struct DeltaTask {
  let mixed: FloatView
  let rates: FloatView
  let rateStride: Int
  let gates: FloatView
  let out: FloatView
  let weights: DeltaWeights
  let shape: DeltaShape
  let keyHead: Int
  let engine: any ProductEngine

  func run() {
    let work = DeltaWork(shape)
    let size = shape.size
    work.states.fill(with: 0)
    for start in stride(from: 0, to: shape.length, by: shape.chunk) {
      let tokens = start..<min(shape.length, start + shape.chunk)
      let count = tokens.count
      let keyWidth = shape.keyHeads * size
      convolve(tokens, channel: keyWidth + keyHead * size, into: work.heads)
      convolve(tokens, channel: keyHead * size, into: work.heads.from(count * size))
      normalizeHeads(work.heads, keys: count)
      transpose(work.heads, rows: count, columns: size, into: work.turnedKeys)
      engine.multiplyOnThread(
        work.heads, stride: size, by: work.heads, into: work.scores, stride: count, tokens: 2 * count, inputs: size,
        outputs: count)
      for (index, head) in shape.groups[keyHead].enumerated() {
        convolve(tokens, channel: 2 * keyWidth + head * size, into: work.values)
        let state = work.states.slice(index * size * size, size * size)
        engine.multiplyOnThread(
          work.heads, stride: size, by: state, into: work.read, stride: size, tokens: 2 * count, inputs: size,
          outputs: size)
        readFactors(tokens, head: head, work.factors)
        solve(work, count)
        transpose(work.values, rows: count, columns: size, into: work.turned)
        engine.multiplyOnThread(
          work.weights, stride: count, by: work.turned, into: work.results, stride: size, tokens: count,
          inputs: count, outputs: size)
        finish(work, tokens, head: head)
        advance(work, state: state, count)
      }
    }
  }

  /// Convolves a head's channels over time and applies SiLU.
  private func convolve(_ tokens: Range<Int>, channel: Int, into y: FloatView) {
    withPointers(mixed, weights.kernel, y) { x, kernel, y in
      let size = shape.size
      let x = x.from(channel)
      let kernel = kernel.from(channel)
      for (row, token) in tokens.enumerated() {
        let y = y.slice(row * size, size).base
        for i in 0..<size { y[i] = 0 }
        for tap in max(0, shape.convolution - 1 - token)..<shape.convolution {
          let source = x.slice((token + tap + 1 - shape.convolution) * shape.channels, size).base
          let factors = kernel.slice(tap * shape.channels, size).base
          for i in 0..<size { y[i] += source[i] * factors[i] }
        }
        silu(y, size)
      }
    }
  }

  /// Divides keys and queries by their lengths, and queries also by the root of the size.
  private func normalizeHeads(_ heads: FloatView, keys: Int) {
    withPointers(heads) { heads in
      let size = shape.size
      for row in 0..<2 * keys {
        let x = heads.slice(row * size, size).base
        var squares: Float = 0
        for i in 0..<size { squares += x[i] * x[i] }
        let scale = 1 / ((squares + weights.epsilon) * (row < keys ? 1 : Float(size))).squareRoot()
        for i in 0..<size { x[i] *= scale }
      }
    }
  }

  /// Sums of decays, their exponentials, and rates of a chunk.
  private func readFactors(_ tokens: Range<Int>, head: Int, _ factors: FloatView) {
    withPointers(rates, weights.a, weights.dt, factors) { rates, a, dt, factors in
      var sum: Double = 0
      for (row, token) in tokens.enumerated() {
        let rates = rates.slice(token * rateStride, rateStride).base
        let x = Double(rates[shape.decayColumns[head]] + dt.base[head])
        sum += Double(a.base[head]) * (x > 20 ? x : log1p(exp(x)))
        factors.base[row] = Float(sum)
        factors.base[shape.chunk + row] = Float(exp(sum))
        factors.base[2 * shape.chunk + row] = Float(1 / (1 + exp(-Double(rates[shape.rateColumns[head]]))))
      }
    }
  }

  /// Replaces values by their differences d, and computes the scores of queries with decays.
  private func solve(_ work: DeltaWork, _ count: Int) {
    let size = shape.size
    withPointers(work.values, work.read, work.scores, work.factors) { d, read, scores, factors in
      withPointers(work.weights) { weights in
        let sums = factors.base
        let exponentials = factors.base + shape.chunk
        let rates = factors.base + 2 * shape.chunk
        let decays = UnsafeMutablePointer<Float>.allocate(capacity: count + 8)
        defer { decays.deallocate() }
        for i in 0..<count {
          let row = d.base + i * size
          let state = read.base + i * size
          let (rate, decay) = (rates[i], exponentials[i])
          for c in 0..<size { row[c] = rate * (row[c] - decay * state[c]) }
          // Elements beyond i are not used.
          for j in stride(from: 0, through: i, by: 8) { cv_store(decays + j, cv_exp(sums[i] - cv_load(sums + j))) }
          let keys = scores.base + i * count
          for j in 0..<i { subtract(d.base + j * size, times: rate * decays[j] * keys[j], from: row, size) }
          let queries = scores.base + (count + i) * count
          let target = weights.base + i * count
          for j in 0...i { target[j] = decays[j] * queries[j] }
          for j in i + 1..<max(i + 1, count) { target[j] = 0 }
        }
      }
    }
  }

  /// Adds what queries read from the state, normalises a head's results and multiplies them by SiLU of the gates.
  private func finish(_ work: DeltaWork, _ tokens: Range<Int>, head: Int) {
    let size = shape.size
    withPointers(work.results, work.read, work.factors, weights.norm) { results, read, factors, norm in
      withPointers(gates, out) { gates, out in
        for (row, token) in tokens.enumerated() {
          let x = results.base + row * size
          let state = read.base + (tokens.count + row) * size
          let decay = factors.base[shape.chunk + row]
          for c in 0..<size { x[c] += decay * state[c] }
          let offset = (token * shape.valueHeads + head) * size
          let y = out.slice(offset, size).base
          y.update(from: gates.slice(offset, size).base, count: size)
          silu(y, size)
          normalizeRow(x, size, norm.base, weights.epsilon, x)
          for c in 0..<size { y[c] *= x[c] }
        }
      }
    }
  }

  /// Adds a chunk to a state.
  private func advance(_ work: DeltaWork, state: FloatView, _ count: Int) {
    let size = shape.size
    withPointers(work.turned, work.factors) { turned, factors in
      let last = factors.base[count - 1]
      for j in 0..<count { factors.base[j] = exponential(last - factors.base[j]) }
      for c in 0..<size {
        let row = turned.base + c * count
        for j in 0..<count { row[j] *= factors.base[j] }
      }
    }
    engine.multiplyOnThread(
      work.turned, stride: count, by: work.turnedKeys, into: work.change, stride: size, tokens: size, inputs: count,
      outputs: size)
    withPointers(state, work.change, work.factors) { state, change, factors in
      let decay = factors.base[shape.chunk + count - 1]
      for i in 0..<size * size { state.base[i] = decay * state.base[i] + change.base[i] }
    }
  }
}

/// x = x / (1 + e^-x)
private func silu(_ x: UnsafeMutablePointer<Float>, _ count: Int) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let v = cv_load(x + i)
    cv_store(x + i, v / (1 + cv_exp(-v)))
  }
  for i in whole..<count { x[i] = x[i] / (1 + exponential(-x[i])) }
}

/// y -= x times a factor.
private func subtract(
  _ x: UnsafePointer<Float>, times factor: Float, from y: UnsafeMutablePointer<Float>, _ count: Int
) {
  let whole = count & ~7
  let factors = cv_splat(-factor)
  for i in stride(from: 0, to: whole, by: 8) { cv_store(y + i, cv_fma(cv_load(x + i), factors, cv_load(y + i))) }
  for i in whole..<count { y[i] -= factor * x[i] }
}

/// y [columns, rows] = x [rows, columns], transposed.
private func transpose(_ x: FloatView, rows: Int, columns: Int, into y: FloatView) {
  withPointers(x, y) { x, y in
    precondition(
      x.count >= rows * columns && y.count >= rows * columns, "\(x.count), \(y.count) for \(rows) x \(columns)")
    for row in 0..<rows {
      for column in 0..<columns { y.base[column * rows + row] = x.base[row * columns + column] }
    }
  }
}

/// A gated delta net over plain arrays.
package struct DeltaExample: Sendable {
  package var windows = 1
  package var length = 1
  package var size = 1
  package var convolution = 4
  package var keyHeads = 1
  package var valueHeads = 1
  /// Whether value heads that share a key head are neighbours.
  package var isGrouped = false
  package var epsilon: Float = 1e-6
  /// [windows x length, 2 x keyHeads x size + valueHeads x size]
  package var mixed: [Float] = []
  /// [windows x length, 2 x valueHeads]: decays, then rates.
  package var rates: [Float] = []
  /// [windows x length, valueHeads x size]
  package var gates: [Float] = []
  /// [convolution, channels]
  package var kernel: [Float] = []
  package var a: [Float] = []
  package var dt: [Float] = []
  package var norm: [Float] = []

  package init() {}

  /// The outputs, [windows x length, valueHeads x size], computed in chunks of some tokens.
  package func outputs(chunk: Int, engine: any ProductEngine) throws -> [Float] {
    let group = valueHeads / keyHeads
    let heads = 0..<valueHeads
    let shape = DeltaShape(
      windows: windows, length: length, size: size, keyHeads: keyHeads,
      groups: (0..<keyHeads).map { key in heads.filter { (isGrouped ? $0 / group : $0 % keyHeads) == key } },
      rateColumns: heads.map { valueHeads + $0 }, decayColumns: Array(heads), convolution: convolution,
      chunk: min(chunk, length))
    let out = FloatBuffer(count: gates.count)
    try gatedDelta(
      Self.view(mixed), rates: Self.view(rates), rateStride: 2 * valueHeads, gates: Self.view(gates), into: out.floats,
      DeltaWeights(
        kernel: Self.view(kernel), a: Self.view(a), dt: Self.view(dt), norm: Self.view(norm), epsilon: epsilon), shape,
      engine: engine)
    return out.floats.withSpan { span in span.indices.map { span[$0] } }
  }

  private static func view(_ values: [Float]) -> FloatView {
    let buffer = FloatBuffer(count: values.count)
    buffer.floats.withMutableSpan { span in for index in values.indices { span[index] = values[index] } }
    return buffer.floats
  }
}
