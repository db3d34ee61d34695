import GGUF
import Tensors

/// Heads that one task takes.
private let headBlock = 4

extension LatentAttention {
  /// Attention of one window in the latent space.
  ///
  /// q [tokens, heads x (nope + turning)], c [tokens, latent + turning], out [tokens, heads x value],
  /// k [heads, latent, nope], v [heads, value, latent].
  func attendAbsorbed(
    _ q: Floats, _ c: Floats, into out: Floats, _ length: Int, _ k: Floats, _ v: Floats, _ kTensor: TensorInfo,
    _ vTensor: TensorInfo, _ context: LayerContext
  ) throws {
    let isObserved = context.observer != nil
    // What attention returns for every head, which is what attn_v_b multiplies.
    let results = context.scratch(isObserved ? heads * length * latent : 1)
    let wide = latent + turning
    let shape = AttentionShape(
      windows: 1, queries: length, firstPosition: 0, keys: length, heads: 1, keyHeads: 1, keyLength: wide,
      valueLength: latent, queryStride: wide, keyStride: wide, valueStride: wide, outStride: latent, scale: scale)
    let shared = AttentionHead(c, c, shape)
    let engine = context.engine
    try parallelRanges(heads, grain: headBlock) { _, range in
      let own = FloatBuffer(count: length * wide)
      let scratch = FloatBuffer(count: length * latent)
      let work = AttentionWork(shape)
      for head in range {
        let query = q.from(head * headLength)
        engine.multiplyOnThread(
          query, stride: headLength * heads, by: k.from(head * latent * nope), into: own.floats, stride: wide,
          tokens: length, inputs: nope, outputs: latent)
        copyRows(
          from: query.from(nope), stride: headLength * heads, to: own.floats.from(latent), stride: wide,
          rows: length, columns: turning)
        let result = isObserved ? results.floats.slice(head * length * latent, length * latent) : scratch.floats
        shared.attend(own.floats, into: result, work)
        engine.multiplyOnThread(
          result, stride: latent, by: v.from(head * valueLength * latent), into: out.from(head * valueLength),
          stride: heads * valueLength, tokens: length, inputs: latent, outputs: valueLength)
      }
    }
    if let bad = nonFiniteRow(out, rows: length, columns: heads * valueLength, stride: heads * valueLength) {
      throw ForwardError.nonFinite(tensor: vTensor.name, position: bad)
    }
    guard isObserved else { return }
    let part = context.scratch(length * nope)
    for head in 0..<heads {
      copyRows(
        from: q.from(head * headLength), stride: headLength * heads, to: part.floats, stride: nope, rows: length,
        columns: nope)
      try context.observe([kTensor], part.floats, columns: nope, matrix: .head(head, of: heads))
    }
    for head in 0..<heads {
      try context.observe(
        [vTensor], results.floats.slice(head * length * latent, length * latent), columns: latent,
        matrix: .head(head, of: heads))
    }
  }

  /// Attention of one window over keys and values that are made for every head.
  ///
  /// both [heads x (nope + value), latent]
  func attendJoint(
    _ q: Floats, _ c: Floats, into out: Floats, _ length: Int, _ both: Floats, _ tensor: TensorInfo,
    _ context: LayerContext
  ) throws {
    let perHead = nope + valueLength
    let wide = latent + turning
    if context.observer != nil {
      let part = context.scratch(length * latent)
      copyRows(from: c, stride: wide, to: part.floats, stride: latent, rows: length, columns: latent)
      try context.observe([tensor], part.floats, columns: latent)
    }
    let shape = AttentionShape(
      windows: 1, queries: length, firstPosition: 0, keys: length, heads: 1, keyHeads: 1, keyLength: headLength,
      valueLength: valueLength, queryStride: heads * headLength, keyStride: headLength, valueStride: valueLength,
      outStride: heads * valueLength, scale: scale)
    let engine = context.engine
    try parallelRanges(heads, grain: headBlock) { _, range in
      let keys = FloatBuffer(count: length * headLength)
      let values = FloatBuffer(count: length * valueLength)
      let work = AttentionWork(shape)
      for head in range {
        let weights = both.from(head * perHead * latent)
        engine.multiplyOnThread(
          c, stride: wide, by: weights, into: keys.floats, stride: headLength, tokens: length, inputs: latent,
          outputs: nope)
        copyRows(
          from: c.from(latent), stride: wide, to: keys.floats.from(nope), stride: headLength, rows: length,
          columns: turning)
        engine.multiplyOnThread(
          c, stride: wide, by: weights.from(nope * latent), into: values.floats, stride: valueLength,
          tokens: length, inputs: latent, outputs: valueLength)
        AttentionHead(keys.floats, values.floats, shape)
          .attend(q.from(head * headLength), into: out.from(head * valueLength), work)
      }
    }
    if let bad = nonFiniteRow(out, rows: length, columns: heads * valueLength, stride: heads * valueLength) {
      throw ForwardError.nonFinite(tensor: tensor.name, position: bad)
    }
  }
}
