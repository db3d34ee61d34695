import CVectors
import Tensors

/// Queries of a tile, and keys or values of a panel.
private let tileQueries = 6
private let panelWidth = 16
/// Queries that are scored together: a panel of keys or values in the first cache meets all of them.
private let queryBlock = 8 * tileQueries
/// Query heads of one group that one task takes.
private let headBlock = 4
/// Values that are summed before the sum joins the result: a panel of so many fits in the first cache.
private let valueDepth = 384

/// What a task works with in windows of `length` tokens.
func attentionBytes(length: Int, keyLength: Int, valueLength: Int) -> Int {
  let keys = rounded(length)
  return 4 * (keys * (keyLength + rounded(valueLength)) + queryBlock * (2 * keys + keyLength))
}

private func rounded(_ count: Int) -> Int { (count + panelWidth - 1) / panelWidth * panelWidth }

/// Shapes of an attention over whole windows. Rows of every matrix are tokens, window after window.
struct AttentionShape {
  let windows: Int
  /// Queries in a window, and the position of the first.
  let queries: Int
  let firstPosition: Int
  /// Keys in a window, from position 0.
  let keys: Int
  let heads: Int
  let keyHeads: Int
  let keyLength: Int
  let valueLength: Int
  /// Distances between tokens in q, k, v and out.
  let queryStride: Int
  let keyStride: Int
  let valueStride: Int
  let outStride: Int
  /// Multiplies q · k.
  let scale: Float
}

/// out = softmax(scale q kᵀ, over keys up to the query's position) v, for every head of every window.
///
/// q [windows x queries, heads, keyLength], k [windows x keys, keyHeads, keyLength], v [.., keyHeads, valueLength],
/// out [.., heads, valueLength]. Head h uses key head h / (heads / keyHeads).
func attend(_ q: Floats, _ k: Floats, _ v: Floats, into out: Floats, _ shape: AttentionShape) throws {
  let group = shape.heads / shape.keyHeads
  let chunks = (group + headBlock - 1) / headBlock
  try parallelRanges(shape.windows * shape.keyHeads * chunks, grain: 1) { index, _ in
    let window = index / (shape.keyHeads * chunks)
    let keyHead = index / chunks % shape.keyHeads
    let first = index % chunks * headBlock
    let head = AttentionHead(
      k.from(window * shape.keys * shape.keyStride + keyHead * shape.keyLength),
      v.from(window * shape.keys * shape.valueStride + keyHead * shape.valueLength), shape)
    let work = AttentionWork(shape)
    for own in keyHead * group + first..<keyHead * group + min(group, first + headBlock) {
      head.attend(
        q.from(window * shape.queries * shape.queryStride + own * shape.keyLength),
        into: out.from(window * shape.queries * shape.outStride + own * shape.valueLength), work)
    }
  }
}

/// Scores, queries and weights of the queries in work. One for each task.
final class AttentionWork {
  fileprivate let scores: FloatBuffer
  /// [queries / 6][keyLength][6], and [queries / 6][keys][6].
  fileprivate let queries: FloatBuffer
  fileprivate let weights: FloatBuffer
  /// A tile that does not fit where it belongs.
  fileprivate let edge = FloatBuffer(count: tileQueries * panelWidth)

  init(_ shape: AttentionShape) {
    let keys = rounded(shape.keys)
    scores = FloatBuffer(count: queryBlock * keys)
    queries = FloatBuffer(count: queryBlock * shape.keyLength + 2)
    weights = FloatBuffer(count: queryBlock * keys + 2)
  }
}

/// The keys and values of one head and one window, in panels of 16: keys [keys / 16][keyLength][16], values
/// [valueLength / 16][keys][16]. What is missing in the last is zero.
final class AttentionHead: Sendable {
  private let keys: FloatBuffer
  private let values: FloatBuffer
  private let shape: AttentionShape

  init(_ k: Floats, _ v: Floats, _ shape: AttentionShape) {
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

  /// out = softmax(scale q kᵀ, over keys up to the query's position) v.
  func attend(_ q: Floats, into out: Floats, _ work: AttentionWork) {
    withPointers(q, out, keys.floats, values.floats) { q, out, keys, values in
      withPointers(work.scores.floats, work.queries.floats, work.weights.floats, work.edge.floats) {
        scores, queries, weights, edge in
        let tiles = AttentionTiles(
          shape: shape, keys: keys, values: values, scores: scores, queries: queries, weights: weights, edge: edge)
        for start in stride(from: 0, to: shape.queries, by: queryBlock) {
          let block = start..<min(shape.queries, start + queryBlock)
          tiles.score(q, block)
          tiles.weigh(block)
          tiles.sum(block, into: out)
        }
      }
    }
  }
}

/// The three steps of attention over a block of queries, on the memory of a head and of a task.
private struct AttentionTiles {
  let shape: AttentionShape
  let keys: FloatPointer
  let values: FloatPointer
  let scores: FloatPointer
  let queries: FloatPointer
  let weights: FloatPointer
  let edge: FloatPointer

  /// Keys that the last query of a group of six sees.
  private func visible(_ block: Range<Int>, _ group: Int) -> Int {
    shape.firstPosition + min(block.upperBound, block.lowerBound + (group + 1) * tileQueries)
  }

  private func groups(_ block: Range<Int>) -> Int { (block.count + tileQueries - 1) / tileQueries }

  func score(_ q: FloatPointer, _ block: Range<Int>) {
    let stride = rounded(shape.keys)
    let groups = groups(block)
    for group in 0..<groups {
      let first = block.lowerBound + group * tileQueries
      pack(
        q.from(first * shape.queryStride), stride: shape.queryStride, rows: min(tileQueries, block.upperBound - first),
        columns: shape.keyLength, into: queries.base + group * tileQueries * shape.keyLength)
    }
    // Later queries see more: those before `least` are done.
    var least = 0
    for key in Swift.stride(from: 0, to: visible(block, groups - 1), by: panelWidth) {
      while visible(block, least) <= key { least += 1 }
      for group in least..<groups {
        cv_tile16(
          shape.keyLength, queries.base + group * tileQueries * shape.keyLength,
          keys.base + key * shape.keyLength, scores.base + group * tileQueries * stride + key,
          stride, 0, nil)
      }
    }
  }

  func weigh(_ block: Range<Int>) {
    let stride = rounded(shape.keys)
    for group in 0..<groups(block) {
      let rows = min(tileQueries, block.count - group * tileQueries)
      let scores = scores.from(group * tileQueries * stride)
      let count = rounded(visible(block, group))
      for row in 0..<rows {
        softmax(
          scores.base + row * stride,
          visible: shape.firstPosition + block.lowerBound + group * tileQueries + row + 1, count: count,
          scale: shape.scale)
      }
      pack(
        scores, stride: stride, rows: rows, columns: count,
        into: weights.base + group * tileQueries * stride)
    }
  }

  func sum(_ block: Range<Int>, into out: FloatPointer) {
    let count = rounded(shape.keys)
    let groups = groups(block)
    for start in Swift.stride(from: 0, to: visible(block, groups - 1), by: valueDepth) {
      for column in Swift.stride(from: 0, to: shape.valueLength, by: panelWidth) {
        let panel = values.base + column * count + start * panelWidth
        for group in 0..<groups {
          let seen = rounded(visible(block, group))
          guard seen > start else { continue }
          let first = block.lowerBound + group * tileQueries
          let weights = weights.base + group * tileQueries * count + start * tileQueries
          let target = out.from(first * shape.outStride + column)
          let rows = min(tileQueries, block.upperBound - first)
          let columns = min(panelWidth, shape.valueLength - column)
          let depth = min(valueDepth, seen - start)
          if rows == tileQueries && columns == panelWidth {
            cv_tile16(depth, weights, panel, target.base, shape.outStride, start > 0 ? 1 : 0, nil)
            continue
          }
          if start > 0 {
            copyRows(from: target, stride: shape.outStride, to: edge, stride: panelWidth, rows: rows, columns: columns)
          }
          cv_tile16(depth, weights, panel, edge.base, panelWidth, start > 0 ? 1 : 0, nil)
          copyRows(from: edge, stride: panelWidth, to: target, stride: shape.outStride, rows: rows, columns: columns)
        }
      }
    }
  }
}

/// Six rows at most, as columns: out[columns][6].
private func pack(_ x: FloatPointer, stride: Int, rows: Int, columns: Int, into out: UnsafeMutablePointer<Float>) {
  if rows == tileQueries {
    cv_pack6_whole(x.base, stride, columns, out)
  } else {
    cv_pack6(x.base, stride, rows, columns, out)
  }
}

/// Replaces the first `visible` of `count` scores by their softmax after scaling, and the others by 0.
func softmax(_ x: UnsafeMutablePointer<Float>, visible: Int, count: Int, scale: Float) {
  let whole = visible & ~7
  var largest = SIMD8<Float>(repeating: -.infinity)
  for i in stride(from: 0, to: whole, by: 8) { largest = cv_max(largest, cv_load(x + i)) }
  var top = cv_largest(largest)
  for i in whole..<visible { top = max(top, x[i]) }
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
  let inverse = 1 / sum
  for i in stride(from: 0, to: whole, by: 8) { cv_store(x + i, cv_load(x + i) * inverse) }
  for i in whole..<visible { x[i] *= inverse }
  for i in visible..<count { x[i] = 0 }
}
