import GGUF
import Tensors

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values of all heads are made from one short
/// vector per token, plus one rotated key that the heads share.
struct LatentAttention: LayerPart {
  /// How a head's keys and values come from the latent vector.
  enum Expansion: Sendable {
    /// `attn_k_b` [nope, latent, heads] maps queries into the latent space, where attention takes place, and
    /// `attn_v_b` [latent, value, heads] maps its result back.
    case absorbed(k: TensorInfo, v: TensorInfo)
    /// `attn_kv_b` [latent, heads x (nope + value)] makes keys and values: the form of 2024.
    case joint(TensorInfo)
  }

  let heads: Int
  /// Elements of a head's query and key that do not turn, and that do.
  let nope: Int
  let turning: Int
  let valueLength: Int
  let latent: Int
  let norm: TensorInfo
  /// Queries through a bottleneck with a norm, or directly.
  let queryDown: Linear?
  let queryNorm: TensorInfo?
  let query: Linear
  /// [width, latent + turning]
  let latentDown: Linear
  let latentNorm: TensorInfo
  let expansion: Expansion
  let output: Linear
  let scale: Float

  var headLength: Int { nope + turning }

  var expansionTensors: [TensorInfo] {
    switch expansion {
    case .absorbed(let k, let v): [k, v]
    case .joint(let both): [both]
    }
  }

  var matrices: [TensorInfo] {
    [queryDown, query, latentDown].compactMap { $0?.weight } + expansionTensors + [output.weight]
  }
  var columnsPerToken: Int {
    query.outputs + latentDown.outputs + max(queryDown?.outputs ?? 0, heads * valueLength)
  }
  var attentionPerToken: Int {
    switch expansion {
    case .absorbed: heads * (2 * latent + turning)
    case .joint: heads * (headLength + valueLength)
    }
  }
  func scratchBytes(length: Int, isObserved: Bool) -> Int {
    let (task, observed) =
      switch expansion {
      case .absorbed: (2 * latent + turning, heads * latent + nope)
      case .joint: (headLength + valueLength, latent)
      }
    let (keyLength, own) =
      switch expansion {
      case .absorbed: (latent + turning, latent)
      case .joint: (headLength, valueLength)
      }
    let attention = attentionBytes(length: length, keyLength: keyLength, valueLength: own)
    return Threads.count * (attention + 4 * length * task) + (isObserved ? 4 * length * observed : 0)
  }
  var leastBlock: Int { expansionTensors.reduce(0) { $0 + $1.shape.count } }

  private func projections(_ limit: Int) -> [WeightRequest] {
    WeightRequest.covering([queryDown ?? query, latentDown].map(\.piece), limit: limit, together: false)
  }

  /// Needed as a whole for every window.
  private var expansionRead: WeightRequest { WeightRequest(pieces: expansionTensors.map(\.whole), isPacked: false) }

  func reads(_ limit: Int) -> [WeightRequest] {
    projections(limit) + (queryDown == nil ? [] : query.reads(limit)) + [expansionRead] + output.reads(limit)
  }

  func run(_ hidden: inout Activations, _ context: LayerContext, keeping: Range<Int>?) throws {
    var (queries, latents) = try project(hidden, context)
    var mixed = Activations(hidden.layout, columns: heads * valueLength, storage: context.storage)
    let block = try context.stream.take(expansionRead)
    for slab in 0..<hidden.layout.slabs {
      let q = try queries.read(slab)
      let c = try latents.read(slab)
      let windows = hidden.layout.windows(inSlab: slab).count
      let length = hidden.layout.length
      try mixed.update(slab) { out in
        // One window at a time: expanded keys and values of a long slab would be larger than everything else.
        for window in 0..<windows {
          let q = q.floats.slice(window * length * query.outputs, length * query.outputs)
          let c = c.floats.slice(window * length * latentDown.outputs, length * latentDown.outputs)
          let out = out.slice(window * length * heads * valueLength, length * heads * valueLength)
          do {
            switch expansion {
            case .absorbed(let k, let v):
              try attendAbsorbed(q, c, into: out, length, block.weights(0), block.weights(1), k, v, context)
            case .joint(let both): try attendJoint(q, c, into: out, length, block.weights(0), both, context)
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
      try mixed.restrict(to: keeping)
    }
    try context.addProduct(output, to: &hidden) { try mixed.read($0) }
  }

  /// Rotated queries [tokens, heads x (nope + turning)], and per token the normalised latent vector with the shared
  /// rotated key behind it.
  private func project(_ hidden: Activations, _ context: LayerContext) throws -> (Activations, Activations) {
    let layout = hidden.layout
    let first = queryDown ?? query
    var queries = Activations(layout, columns: first.outputs, storage: context.storage)
    var latents = Activations(layout, columns: latentDown.outputs, storage: context.storage)
    let weight = try context.vector(norm)
    let latentWeight = try context.vector(latentNorm)
    let x = context.scratch(layout.slabTokens * hidden.columns)
    for (index, request) in projections(context.blockLimit).enumerated() {
      let block = try context.stream.take(request)
      for slab in 0..<layout.slabs {
        let tokens = layout.tokens(inSlab: slab)
        let h = try hidden.read(slab)
        try normalize(
          h.floats, rows: tokens, columns: hidden.columns, weight: weight.floats, epsilon: context.epsilon,
          into: x.floats)
        if index == 0 {
          try context.observe(
            [first.weight, latentDown.weight], x.floats.slice(0, tokens * hidden.columns), columns: hidden.columns)
        }
        for (number, piece) in request.pieces.enumerated() {
          let fill = { (y: Floats, stride: Int) in
            try context.product(
              x.floats, tokens: tokens, by: block.matrix(number), into: y, yStride: stride, tensor: piece.tensor.name)
          }
          if piece.tensor == first.weight {
            try queries.fill(slab, columns: piece.rows, fill)
          } else {
            try latents.fill(slab, columns: piece.rows, fill)
          }
        }
      }
    }
    if queryDown != nil { queries = try lift(queries, context) }
    for slab in 0..<layout.slabs {
      let windows = layout.windows(inSlab: slab).count
      try latents.update(slab) { c in
        try normalize(
          c, rows: layout.tokens(inSlab: slab), columns: latent, weight: latentWeight.floats,
          epsilon: context.epsilon, into: c, xStride: latentDown.outputs, yStride: latentDown.outputs)
        try context.rotation.apply(
          c.from(latent), windows: windows, length: layout.length, firstPosition: layout.firstPosition,
          stride: latentDown.outputs, heads: 1, headStride: turning)
      }
      try queries.update(slab) { q in
        try context.rotation.apply(
          q.from(nope), windows: windows, length: layout.length, firstPosition: layout.firstPosition,
          stride: query.outputs, heads: heads, headStride: headLength)
      }
    }
    return (queries, latents)
  }

  /// Queries from their bottleneck.
  private func lift(_ narrow: Activations, _ context: LayerContext) throws -> Activations {
    var narrow = narrow
    let layout = narrow.layout
    if let queryNorm {
      let weight = try context.vector(queryNorm)
      for slab in 0..<layout.slabs {
        try narrow.update(slab) {
          try normalize(
            $0, rows: layout.tokens(inSlab: slab), columns: query.inputs, weight: weight.floats,
            epsilon: context.epsilon, into: $0)
        }
      }
    }
    var queries = Activations(layout, columns: query.outputs, storage: context.storage)
    for request in query.reads(context.blockLimit) {
      let block = try context.stream.take(request)
      let rows = request.pieces[0].rows
      for slab in 0..<layout.slabs {
        let x = try narrow.read(slab)
        if rows.lowerBound == 0 { try context.observe([query.weight], x.floats, columns: query.inputs) }
        try queries.fill(slab, columns: rows) { y, stride in
          try context.product(
            x.floats, tokens: layout.tokens(inSlab: slab), by: block.matrix(0), into: y, yStride: stride,
            tensor: query.weight.name)
        }
      }
    }
    return queries
  }
}
