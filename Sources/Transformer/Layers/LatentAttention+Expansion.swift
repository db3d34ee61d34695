import GGUF
import Tensors

/// Heads that a task computes.
private let headsPerTask = 4

extension LatentAttention {
  /// Computes the attention of one window in the latent space.
  ///
  /// q [tokens, heads x (nopeLength + ropeLength)], c [tokens, kvRank + ropeLength], out [tokens, heads x valueLength],
  /// k [heads, kvRank, nopeLength], v [heads, valueLength, kvRank].
  func attendAbsorbed(
    _ q: FloatView, _ c: FloatView, into out: FloatView, _ length: Int, _ k: FloatView, _ v: FloatView,
    _ kTensor: TensorInfo,
    _ vTensor: TensorInfo, _ context: LayerContext
  ) throws {
    let isObserved = context.observer != nil
    // The inputs of attn_v_b: the attention results of every head.
    let results = context.scratch(isObserved ? heads * length * kvRank : 1)
    let kvWidth = kvRank + ropeLength
    let shape = AttentionShape(
      windows: 1, queries: length, firstPosition: 0, keys: length, heads: 1, keyHeads: 1, keyLength: kvWidth,
      valueLength: kvRank, queryStride: kvWidth, keyStride: kvWidth, valueStride: kvWidth, outStride: kvRank,
      scale: scale)
    let shared = AttentionHead(c, c, shape)
    let engine = context.engine
    try parallelRanges(heads, grain: headsPerTask) { _, range in
      let queries = FloatBuffer(count: length * kvWidth)
      let scratch = FloatBuffer(count: length * kvRank)
      let work = AttentionWork(shape)
      for head in range {
        let query = q.from(head * headLength)
        engine.multiplyOnThread(
          query, stride: headLength * heads, by: k.from(head * kvRank * nopeLength), into: queries.floats,
          stride: kvWidth, tokens: length, inputs: nopeLength, outputs: kvRank)
        copyRows(
          from: query.from(nopeLength), stride: headLength * heads, to: queries.floats.from(kvRank), stride: kvWidth,
          rows: length, columns: ropeLength)
        try temperature?.apply(queries.floats, tokens: length, length: length, firstPosition: 0, columns: kvWidth)
        let result = isObserved ? results.floats.slice(head * length * kvRank, length * kvRank) : scratch.floats
        shared.attend(queries.floats, into: result, work)
        engine.multiplyOnThread(
          result, stride: kvRank, by: v.from(head * valueLength * kvRank), into: out.from(head * valueLength),
          stride: heads * valueLength, tokens: length, inputs: kvRank, outputs: valueLength)
      }
    }
    if let bad = nonFiniteRow(out, rows: length, columns: heads * valueLength, stride: heads * valueLength) {
      throw ForwardError.nonFinite(tensor: vTensor.name, position: bad)
    }
    guard isObserved else { return }
    let nopeQueries = context.scratch(length * nopeLength)
    for head in 0..<heads {
      copyRows(
        from: q.from(head * headLength), stride: headLength * heads, to: nopeQueries.floats, stride: nopeLength,
        rows: length, columns: nopeLength)
      try context.observe([kTensor], nopeQueries.floats, columns: nopeLength, matrix: .head(head, of: heads))
    }
    for head in 0..<heads {
      try context.observe(
        [vTensor], results.floats.slice(head * length * kvRank, length * kvRank), columns: kvRank,
        matrix: .head(head, of: heads))
    }
  }

  /// Computes the attention of one window with expanded keys and values.
  ///
  /// both [heads x (nopeLength + valueLength), kvRank]
  func attendJoint(
    _ q: FloatView, _ c: FloatView, into out: FloatView, _ length: Int, _ both: FloatView, _ tensor: TensorInfo,
    _ context: LayerContext
  ) throws {
    let perHead = nopeLength + valueLength
    let kvWidth = kvRank + ropeLength
    if context.observer != nil {
      let compressed = context.scratch(length * kvRank)
      copyRows(from: c, stride: kvWidth, to: compressed.floats, stride: kvRank, rows: length, columns: kvRank)
      try context.observe([tensor], compressed.floats, columns: kvRank)
    }
    let shape = AttentionShape(
      windows: 1, queries: length, firstPosition: 0, keys: length, heads: 1, keyHeads: 1, keyLength: headLength,
      valueLength: valueLength, queryStride: heads * headLength, keyStride: headLength, valueStride: valueLength,
      outStride: heads * valueLength, scale: scale)
    let engine = context.engine
    try parallelRanges(heads, grain: headsPerTask) { _, range in
      let keys = FloatBuffer(count: length * headLength)
      let values = FloatBuffer(count: length * valueLength)
      let work = AttentionWork(shape)
      for head in range {
        let weights = both.from(head * perHead * kvRank)
        engine.multiplyOnThread(
          c, stride: kvWidth, by: weights, into: keys.floats, stride: headLength, tokens: length, inputs: kvRank,
          outputs: nopeLength)
        copyRows(
          from: c.from(kvRank), stride: kvWidth, to: keys.floats.from(nopeLength), stride: headLength, rows: length,
          columns: ropeLength)
        engine.multiplyOnThread(
          c, stride: kvWidth, by: weights.from(nopeLength * kvRank), into: values.floats, stride: valueLength,
          tokens: length, inputs: kvRank, outputs: valueLength)
        AttentionHead(keys.floats, values.floats, shape)
          .attend(q.from(head * headLength), into: out.from(head * valueLength), work)
      }
    }
    if let bad = nonFiniteRow(out, rows: length, columns: heads * valueLength, stride: heads * valueLength) {
      throw ForwardError.nonFinite(tensor: tensor.name, position: bad)
    }
  }
}
