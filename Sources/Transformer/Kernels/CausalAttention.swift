import CVectors
import Tensors

/// Queries of a kernel's tile.
private let tileQueries = 6
/// Keys, or columns of values, of a panel.
private let panelWidth = 16
/// Queries that are scored together, while a panel of keys or values is in the first-level cache.
private let queryBatch = 8 * tileQueries
/// Query heads of one group that a task computes.
private let headsPerTask = 4
/// Values that are summed before the sum is added to the result: a panel of this depth fits in the first-level cache.
private let valueDepth = 384

/// Bytes of a task's working memory in windows of `length` tokens.
func attentionBytes(length: Int, keyLength: Int, valueLength: Int) -> Int {
  let keys = rounded(length)
  return 4 * (keys * (keyLength + rounded(valueLength)) + queryBatch * (2 * keys + keyLength))
}

private func rounded(_ count: Int) -> Int { (count + panelWidth - 1) / panelWidth * panelWidth }

/// The shapes of an attention over whole windows. The rows of every matrix are tokens, window after window.
struct AttentionShape {
  let windows: Int
  /// Queries in a window.
  let queries: Int
  /// The position of a window's first query.
  let firstPosition: Int
  /// Keys in a window; the first is at position 0.
  let keys: Int
  let heads: Int
  let keyHeads: Int
  let keyLength: Int
  let valueLength: Int
  /// Elements from the query of a head to that of the next; nil for `keyLength`.
  var queryLength: Int?
  // Elements from one token to the next in q, k, v and out.
  let queryStride: Int
  let keyStride: Int
  let valueStride: Int
  let outStride: Int
  /// The factor of q · k.
  let scale: Float
  /// The number of positions that a query sees, with its own: the key at position k is visible to the query at
  /// position q if q - k is at least 0 and less than this. Nil for all keys up to the query's position.
  var slidingWindow: Int?

  /// The first key that the query at a position sees.
  fileprivate func firstKey(_ position: Int) -> Int { slidingWindow.map { max(0, position - $0 + 1) } ?? 0 }
}

/// The mean number of keys that a query sees in windows of `length` tokens, times two.
func attendedPositions(length: Int, slidingWindow: Int?) -> Double {
  guard let slidingWindow, slidingWindow < length else { return Double(length) }
  let (length, covered) = (Double(length), Double(slidingWindow))
  return covered * (2 * length - covered) / length
}

/// out = softmax(scale q kᵀ, over the visible keys) v, for every head of every window.
///
/// q [windows x queries, heads, keyLength], k [windows x keys, keyHeads, keyLength], v [.., keyHeads, valueLength],
/// out [.., heads, valueLength]. Head h uses key head h / (heads / keyHeads).
///
/// - Parameter sinks: for each head, one more scaled score in the sum of the softmax, without a value; nil without.
func attend(
  _ q: FloatView, _ k: FloatView, _ v: FloatView, into out: FloatView, _ shape: AttentionShape, sinks: [Float]? = nil
) throws {
  let group = shape.heads / shape.keyHeads
  let chunks = (group + headsPerTask - 1) / headsPerTask
  try parallelRanges(shape.windows * shape.keyHeads * chunks, grain: 1) { index, _ in
    let window = index / (shape.keyHeads * chunks)
    let keyHead = index / chunks % shape.keyHeads
    let first = index % chunks * headsPerTask
    let head = AttentionHead(
      k.from(window * shape.keys * shape.keyStride + keyHead * shape.keyLength),
      v.from(window * shape.keys * shape.valueStride + keyHead * shape.valueLength), shape)
    let work = AttentionWork(shape)
    for queryHead in keyHead * group + first..<keyHead * group + min(group, first + headsPerTask) {
      head.attend(
        q.from(window * shape.queries * shape.queryStride + queryHead * (shape.queryLength ?? shape.keyLength)),
        into: out.from(window * shape.queries * shape.outStride + queryHead * shape.valueLength), work,
        sink: sinks?[queryHead])
    }
  }
}

/// The working memory of a task: scores, packed queries and packed weights of a batch of queries.
final class AttentionWork {
  fileprivate let scores: FloatBuffer
  /// [queries / 6][keyLength][6]
  fileprivate let queries: FloatBuffer
  /// [queries / 6][keys][6]
  fileprivate let weights: FloatBuffer
  /// A tile at the edge of the output, of which a part is copied.
  fileprivate let edge = FloatBuffer(count: tileQueries * panelWidth)

  init(_ shape: AttentionShape) {
    let keys = rounded(shape.keys)
    scores = FloatBuffer(count: queryBatch * keys)
    queries = FloatBuffer(count: queryBatch * shape.keyLength + 2)
    weights = FloatBuffer(count: queryBatch * keys + 2)
  }
}

/// The keys and values of one head and one window, in panels of 16: keys [keys / 16][keyLength][16], values
/// [valueLength / 16][keys][16]. Missing elements of the last panels are zero.
final class AttentionHead: Sendable {
  private let keys: FloatBuffer
  private let values: FloatBuffer
  private let shape: AttentionShape

  init(_ k: FloatView, _ v: FloatView, _ shape: AttentionShape) {
    self.shape = shape
    let count = rounded(shape.keys)
    keys = FloatBuffer(count: count * shape.keyLength)
    withPointers(k, keys.floats) { k, keys in
      for key in stride(from: 0, to: shape.keys, by: panelWidth) {
        cv_pack16(
          k.base + key * shape.keyStride, shape.keyStride, min(panelWidth, shape.keys - key), shape.keyLength,
          keys.base + key * shape.keyLength)
      }
    }
    values = FloatBuffer(count: count * rounded(shape.valueLength))
    values.floats.fill(with: 0)
    for column in stride(from: 0, to: shape.valueLength, by: panelWidth) {
      copyRows(
        from: v.from(column), stride: shape.valueStride, to: values.floats.from(column * count), stride: panelWidth,
        rows: shape.keys, columns: min(panelWidth, shape.valueLength - column))
    }
  }

  /// out = softmax(scale q kᵀ, over the visible keys) v.
  ///
  /// - Parameter sink: one more scaled score in the sum of the softmax.
  func attend(_ q: FloatView, into out: FloatView, _ work: AttentionWork, sink: Float? = nil) {
    withPointers(q, out, keys.floats, values.floats) { q, out, keys, values in
      withPointers(work.scores.floats, work.queries.floats, work.weights.floats, work.edge.floats) {
        scores, queries, weights, edge in
        let tiles = AttentionTiles(
          shape: shape, keys: keys, values: values, scores: scores, queries: queries, weights: weights, edge: edge)
        for start in stride(from: 0, to: shape.queries, by: queryBatch) {
          let batch = start..<min(shape.queries, start + queryBatch)
          tiles.score(q, batch)
          tiles.weigh(batch, sink: sink)
          tiles.sum(batch, into: out)
        }
      }
    }
  }
}

/// The three steps of attention over a batch of queries.
private struct AttentionTiles {
  let shape: AttentionShape
  let keys: FloatPointer
  let values: FloatPointer
  let scores: FloatPointer
  let queries: FloatPointer
  let weights: FloatPointer
  let edge: FloatPointer

  /// The number of keys up to the last query of a group of six.
  private func visible(_ batch: Range<Int>, _ group: Int) -> Int {
    shape.firstPosition + min(batch.upperBound, batch.lowerBound + (group + 1) * tileQueries)
  }

  /// The first panel of keys that any query of a group of six sees.
  private func firstPanel(_ batch: Range<Int>, _ group: Int) -> Int {
    let first = shape.firstKey(shape.firstPosition + batch.lowerBound + group * tileQueries)
    return first - first % panelWidth
  }

  private func groups(_ batch: Range<Int>) -> Int { (batch.count + tileQueries - 1) / tileQueries }

  func score(_ q: FloatPointer, _ batch: Range<Int>) {
    let stride = rounded(shape.keys)
    let groups = groups(batch)
    for group in 0..<groups {
      let first = batch.lowerBound + group * tileQueries
      pack(
        q.from(first * shape.queryStride), stride: shape.queryStride, rows: min(tileQueries, batch.upperBound - first),
        columns: shape.keyLength, into: queries.base + group * tileQueries * shape.keyLength)
    }
    // Later groups have later keys. Groups before `firstGroup` have no more, and those from `endGroup` on none yet.
    var firstGroup = 0
    var endGroup = 0
    for key in Swift.stride(from: firstPanel(batch, 0), to: visible(batch, groups - 1), by: panelWidth) {
      while visible(batch, firstGroup) <= key { firstGroup += 1 }
      while endGroup < groups, firstPanel(batch, endGroup) <= key { endGroup += 1 }
      for group in firstGroup..<endGroup {
        cv_tile16(
          shape.keyLength, queries.base + group * tileQueries * shape.keyLength,
          keys.base + key * shape.keyLength, scores.base + group * tileQueries * stride + key,
          stride, 0, nil)
      }
    }
  }

  func weigh(_ batch: Range<Int>, sink: Float?) {
    let stride = rounded(shape.keys)
    for group in 0..<groups(batch) {
      let rows = min(tileQueries, batch.count - group * tileQueries)
      let panel = firstPanel(batch, group)
      let scores = scores.from(group * tileQueries * stride + panel)
      let count = rounded(visible(batch, group)) - panel
      for row in 0..<rows {
        let position = shape.firstPosition + batch.lowerBound + group * tileQueries + row
        let first = shape.firstKey(position) - panel
        let row = scores.base + row * stride
        for key in 0..<first { row[key] = 0 }
        softmax(
          row + first, visible: position + 1 - panel - first, count: count - first, scale: shape.scale, sink: sink)
      }
      pack(
        scores, stride: stride, rows: rows, columns: count,
        into: weights.base + (group * stride + panel) * tileQueries)
    }
  }

  func sum(_ batch: Range<Int>, into out: FloatPointer) {
    let count = rounded(shape.keys)
    let groups = groups(batch)
    let firstDepth = firstPanel(batch, 0) / valueDepth * valueDepth
    for depthStart in Swift.stride(from: firstDepth, to: visible(batch, groups - 1), by: valueDepth) {
      for column in Swift.stride(from: 0, to: shape.valueLength, by: panelWidth) {
        for group in 0..<groups {
          let firstKey = firstPanel(batch, group)
          let start = max(depthStart, firstKey)
          let end = min(depthStart + valueDepth, rounded(visible(batch, group)))
          guard start < end else { continue }
          let panel = values.base + column * count + start * panelWidth
          let first = batch.lowerBound + group * tileQueries
          let weights = weights.base + (group * count + start) * tileQueries
          let target = out.from(first * shape.outStride + column)
          let rows = min(tileQueries, batch.upperBound - first)
          let columns = min(panelWidth, shape.valueLength - column)
          let depth = end - start
          let accumulates: CInt = start > firstKey ? 1 : 0
          if rows == tileQueries && columns == panelWidth {
            cv_tile16(depth, weights, panel, target.base, shape.outStride, accumulates, nil)
            continue
          }
          if accumulates == 1 {
            copyRows(from: target, stride: shape.outStride, to: edge, stride: panelWidth, rows: rows, columns: columns)
          }
          cv_tile16(depth, weights, panel, edge.base, panelWidth, accumulates, nil)
          copyRows(from: edge, stride: panelWidth, to: target, stride: shape.outStride, rows: rows, columns: columns)
        }
      }
    }
  }
}

/// Packs at most six rows as columns: out[columns][6].
private func pack(_ x: FloatPointer, stride: Int, rows: Int, columns: Int, into out: UnsafeMutablePointer<Float>) {
  if rows == tileQueries {
    cv_pack6_whole(x.base, stride, columns, out)
  } else {
    cv_pack6(x.base, stride, rows, columns, out)
  }
}

/// Replaces the first `visible` of `count` scores by the softmax of the scaled scores, and the others by 0.
///
/// - Parameter sink: a scaled score that takes part in the softmax, and whose share is dropped.
func softmax(_ x: UnsafeMutablePointer<Float>, visible: Int, count: Int, scale: Float, sink: Float? = nil) {
  let whole = visible & ~7
  var largest = SIMD8<Float>(repeating: -.infinity)
  for i in stride(from: 0, to: whole, by: 8) { largest = cv_max(largest, cv_load(x + i)) }
  var top = cv_largest(largest)
  for i in whole..<visible { top = max(top, x[i]) }
  if let sink { top = max(top, sink / scale) }
  var sums = SIMD8<Float>.zero
  for i in stride(from: 0, to: whole, by: 8) {
    let e = cv_exp((cv_load(x + i) - top) * scale)
    cv_store(x + i, e)
    sums += e
  }
  var sum = cv_sum(sums)
  for i in whole..<visible {
    x[i] = cv_exp(cv_splat((x[i] - top) * scale))[0]
    sum += x[i]
  }
  if let sink { sum += cv_exp(cv_splat((sink / scale - top) * scale))[0] }
  let inverse = 1 / sum
  for i in stride(from: 0, to: whole, by: 8) { cv_store(x + i, cv_load(x + i) * inverse) }
  for i in whole..<visible { x[i] *= inverse }
  for i in visible..<count { x[i] = 0 }
}
