import GGUF
import Tensors

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): the keys and values of all heads are expanded from one
/// compressed vector per token; the heads share one rotated key.
struct LatentAttention: LayerPart {
  /// The matrices that expand the compressed vector to keys and values.
  enum Expansion: Sendable {
    /// `attn_k_b` [nopeLength, kvRank, heads] maps queries into the latent space, in which attention is computed, and
    /// `attn_v_b` [kvRank, valueLength, heads] maps its results back.
    case absorbed(k: TensorInfo, v: TensorInfo)
    /// `attn_kv_b` [kvRank, heads x (nopeLength + valueLength)] expands keys and values, in files of 2024.
    case joint(TensorInfo)
  }

  let heads: Int
  /// qk_nope_head_dim: elements of a head's query and key that are not rotated.
  let nopeLength: Int
  /// qk_rope_head_dim: elements of a head's query and key that are rotated.
  let ropeLength: Int
  /// v_head_dim
  let valueLength: Int
  /// kv_lora_rank: elements of the compressed vector.
  let kvRank: Int
  let norm: TensorInfo
  /// `attn_q_a`; nil for a model whose queries are not compressed.
  let qA: Linear?
  let qANorm: TensorInfo?
  /// `attn_q_b`, or `attn_q` where queries are not compressed.
  let qB: Linear
  /// `attn_kv_a_mqa` [width, kvRank + ropeLength]
  let kvA: Linear
  let kvANorm: TensorInfo
  let expansion: Expansion
  let output: Linear
  let scale: Float
  /// Growth of the scores with the position; nil for none.
  var temperature: AttentionTemperature?

  var headLength: Int { nopeLength + ropeLength }

  var expansionTensors: [TensorInfo] {
    switch expansion {
    case .absorbed(let k, let v): [k, v]
    case .joint(let both): [both]
    }
  }

  var matrices: [TensorInfo] {
    [qA, qB, kvA].compactMap { $0?.weight } + expansionTensors + [output.weight]
  }
  var columnsPerToken: Int {
    qB.outputs + kvA.outputs + max(qA?.outputs ?? 0, heads * valueLength)
  }
  var attentionPerToken: Int {
    switch expansion {
    case .absorbed: heads * (2 * kvRank + ropeLength)
    case .joint: heads * (headLength + valueLength)
    }
  }
  func scratchBytes(length: Int, isObserved: Bool) -> Int {
    let (task, observed) =
      switch expansion {
      case .absorbed: (2 * kvRank + ropeLength, heads * kvRank + nopeLength)
      case .joint: (headLength + valueLength, kvRank)
      }
    let (keyLength, resultLength) =
      switch expansion {
      case .absorbed: (kvRank + ropeLength, kvRank)
      case .joint: (headLength, valueLength)
      }
    let attention = attentionBytes(length: length, keyLength: keyLength, valueLength: resultLength)
    return Threads.count * (attention + 4 * length * task) + (isObserved ? 4 * length * observed : 0)
  }
  var minimumWeights: Int { expansionTensors.reduce(0) { $0 + $1.shape.count } }

  private var inputs: [Linear] { [qA ?? qB, kvA] }

  /// The expansion matrices, which every window needs as a whole.
  private var expansionRead: WeightRequest { WeightRequest(pieces: expansionTensors.map(\.whole), isPacked: false) }

  func reads(_ limit: Int) -> [WeightRequest] {
    inputs.reads(limit) + (qA == nil ? [] : qB.reads(limit)) + [expansionRead] + output.reads(limit)
  }

  func run(_ hidden: inout Activations, _ context: LayerContext, keeping: Range<Int>?) throws {
    var (queries, latents) = try project(hidden, context)
    var attended = Activations(hidden.layout, columns: heads * valueLength, storage: context.storage)
    let loaded = try context.stream.take(expansionRead)
    for slab in 0..<hidden.layout.slabs {
      let q = try queries.read(slab)
      let c = try latents.read(slab)
      let windows = hidden.layout.windows(inSlab: slab).count
      let length = hidden.layout.length
      try attended.update(slab) { out in
        // One window at a time: the expanded keys and values of a slab would be larger than all other memory.
        for window in 0..<windows {
          let q = q.floats.slice(window * length * qB.outputs, length * qB.outputs)
          let c = c.floats.slice(window * length * kvA.outputs, length * kvA.outputs)
          let out = out.slice(window * length * heads * valueLength, length * heads * valueLength)
          do {
            switch expansion {
            case .absorbed(let k, let v):
              try attendAbsorbed(q, c, into: out, length, loaded.weights(0), loaded.weights(1), k, v, context)
            case .joint(let both): try attendJoint(q, c, into: out, length, loaded.weights(0), both, context)
            }
          } catch ForwardError.nonFinite(let tensor, _, let row?) {
            throw ForwardError.nonFinite(tensor: tensor, position: window * length + row)
          }
          try context.meter?.add(
            Double(length) * (Double(attentionPerToken) * Double(length) + 2 * Double(expansionRead.count)))
        }
      }
      queries.drop(slab)
      latents.drop(slab)
    }
    if let keeping {
      try hidden.restrict(to: keeping)
      try attended.restrict(to: keeping)
    }
    try context.addProduct(output, to: &hidden) { try attended.read($0) }
  }

  /// The rotated queries [tokens, heads x (nopeLength + ropeLength)], and for each token the normalised compressed
  /// vector followed by the shared rotated key.
  private func project(_ hidden: Activations, _ context: LayerContext) throws -> (Activations, Activations) {
    let layout = hidden.layout
    let first = qA ?? qB
    var queries = Activations(layout, columns: first.outputs, storage: context.storage)
    var latents = Activations(layout, columns: kvA.outputs, storage: context.storage)
    let latentWeight = try context.vector(kvANorm)
    try context.project(hidden, by: inputs, norm: norm) { linear, slab, x, rows, weights in
      let fill = { (y: FloatView, stride: Int) in
        try context.product(
          x, tokens: layout.tokens(inSlab: slab), by: weights, into: y, yStride: stride, tensor: linear.weight.name)
      }
      if linear == first {
        try queries.fill(slab, columns: rows, fill)
      } else {
        try latents.fill(slab, columns: rows, fill)
      }
    }
    if qA != nil { queries = try expandQueries(queries, context) }
    for slab in 0..<layout.slabs {
      let windows = layout.windows(inSlab: slab).count
      try latents.update(slab) { c in
        try normalize(
          c, rows: layout.tokens(inSlab: slab), columns: kvRank, weight: latentWeight.floats,
          epsilon: context.epsilon, into: c, xStride: kvA.outputs, yStride: kvA.outputs)
        try context.rotations[0].apply(
          c.from(kvRank), windows: windows, length: layout.length, firstPosition: layout.firstPosition,
          stride: kvA.outputs, heads: 1, headStride: ropeLength)
      }
      try queries.update(slab) { q in
        try context.rotations[0].apply(
          q.from(nopeLength), windows: windows, length: layout.length, firstPosition: layout.firstPosition,
          stride: qB.outputs, heads: heads, headStride: headLength)
        // In the latent space queries grow after attn_k_b, whose importance is that of queries that have not grown.
        if case .joint = expansion {
          try temperature?.apply(
            q, tokens: layout.tokens(inSlab: slab), length: layout.length, firstPosition: layout.firstPosition,
            columns: qB.outputs)
        }
      }
    }
    return (queries, latents)
  }

  /// Expands compressed queries.
  private func expandQueries(_ compressed: Activations, _ context: LayerContext) throws -> Activations {
    var compressed = compressed
    let layout = compressed.layout
    if let qANorm {
      let weight = try context.vector(qANorm)
      for slab in 0..<layout.slabs {
        try compressed.update(slab) {
          try normalize(
            $0, rows: layout.tokens(inSlab: slab), columns: qB.inputs, weight: weight.floats,
            epsilon: context.epsilon, into: $0)
        }
      }
    }
    var queries = Activations(layout, columns: qB.outputs, storage: context.storage)
    for request in qB.reads(context.weightLimit) {
      let loaded = try context.stream.take(request)
      let rows = request.pieces[0].rows
      for slab in 0..<layout.slabs {
        let x = try compressed.read(slab)
        if rows.lowerBound == 0 { try context.observe([qB.weight], x.floats, columns: qB.inputs) }
        try queries.fill(slab, columns: rows) { y, stride in
          try context.product(
            x.floats, tokens: layout.tokens(inSlab: slab), by: loaded.matrix(0), into: y, yStride: stride,
            tensor: qB.weight.name)
        }
      }
    }
    return queries
  }
}
