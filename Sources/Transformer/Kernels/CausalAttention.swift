import CVectors
import Tensors

/// Queries that are scored together: their scores [block, keys] stay in the cache, and keys after the last are skipped.
private let queryBlock = 128
/// Query heads of one group that one task takes.
private let headBlock = 4

/// The scores of one task in windows of `length` tokens.
func scoreBytes(length: Int) -> Int { 4 * queryBlock * length }

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
    let scores = FloatBuffer(count: min(queryBlock, shape.queries) * shape.keys)
    defer { extendLifetime(scores) }
    let k = k.from(window * shape.keys * shape.keyStride + keyHead * shape.keyLength)
    let v = v.from(window * shape.keys * shape.valueStride + keyHead * shape.valueLength)
    for head in keyHead * group + first..<keyHead * group + min(group, first + headBlock) {
      let q = q.from(window * shape.queries * shape.queryStride + head * shape.keyLength)
      let out = out.from(window * shape.queries * shape.outStride + head * shape.valueLength)
      attendHead(q, k, v, out, shape, scores: scores.floats)
    }
  }
}

/// One head of one window, with its own scores.
func attendHead(_ q: Floats, _ k: Floats, _ v: Floats, _ out: Floats, _ shape: AttentionShape) {
  let scores = FloatBuffer(count: min(queryBlock, shape.queries) * shape.keys)
  defer { extendLifetime(scores) }
  attendHead(q, k, v, out, shape, scores: scores.floats)
}

private func attendHead(
  _ q: Floats, _ k: Floats, _ v: Floats, _ out: Floats, _ shape: AttentionShape, scores: Floats
) {
  for start in stride(from: 0, to: shape.queries, by: queryBlock) {
    let count = min(queryBlock, shape.queries - start)
    let visible = shape.firstPosition + start + count
    k.withSpan { k in
      q.from(start * shape.queryStride).withSpan { q in
        scores.withMutableSpan {
          multiplySlices(
            q, xStride: shape.queryStride, by: k, wStride: shape.keyStride, into: &$0, yStride: visible,
            tokens: count, inputs: shape.keyLength, outputs: visible)
        }
      }
    }
    for row in 0..<count {
      softmax(
        scores.base + row * visible, visible: shape.firstPosition + start + row + 1, count: visible,
        scale: shape.scale)
    }
    scores.withSpan { scores in
      v.withSpan { v in
        out.from(start * shape.outStride).withMutableSpan {
          multiplySlices(
            scores, xStride: visible, by: v, wStride: shape.valueStride, byColumns: true, into: &$0,
            yStride: shape.outStride, tokens: count, inputs: visible, outputs: shape.valueLength)
        }
      }
    }
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
