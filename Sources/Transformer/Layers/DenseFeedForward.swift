import GGUF

/// down(f(gate x) * up x) of the normalised hidden state x, with f of the gated unit (arXiv 2002.05202).
struct DenseFeedForward: LayerPart {
  /// The weights of RMSNorm over the hidden states; nil where they are the inputs as they are.
  let norm: TensorInfo?
  let unit: GatedUnit
  /// The weights of RMSNorm over the output; nil without it.
  var postNorm: TensorInfo?
  /// The addend of that norm's mean square; nil for the model's.
  var postEpsilon: Float?
  /// The factor of the output.
  var outputScale: Float = 1

  var matrices: [TensorInfo] { unit.matrices }
  var columnsPerToken: Int {
    unit.gate.outputs + (postNorm == nil && outputScale == 1 ? 0 : unit.down.outputs)
  }

  func reads(_ limit: Int) -> [WeightRequest] { unit.reads(limit) }

  func run(_ hidden: inout Activations, _ context: LayerContext, keeping: Range<Int>?) throws {
    let inner = try expand(hidden, context)
    try context.addProduct(unit.down, to: &hidden, norm: postNorm, epsilon: postEpsilon, scale: outputScale) {
      try inner.read($0)
    }
  }

  /// f(gate x) * up x, [tokens, outputs of gate].
  func expand(_ hidden: Activations, _ context: LayerContext) throws -> Activations {
    try unit.expand(hidden.layout, context, inputs: try context.normalizer(norm, hidden))
  }
}

/// The three matrices of a gated feed-forward network: of a dense layer, a shared expert or an expert.
struct GatedUnit: Sendable {
  let gate: Linear
  let up: Linear
  let down: Linear
  var function = GateFunction.silu

  /// The matrices of the expansion: one, if gate and up are parts of a fused matrix.
  var expansionMatrices: [TensorInfo] { gate.weight == up.weight ? [gate.weight] : [gate.weight, up.weight] }
  var matrices: [TensorInfo] { expansionMatrices + [down.weight] }

  func expansions(_ limit: Int) -> [WeightRequest] {
    WeightRequest.covering([gate.piece, up.piece], limit: limit, together: true)
  }

  func reads(_ limit: Int) -> [WeightRequest] {
    expansions(limit) + down.reads(limit)
  }

  /// f(gate x) * up x of the normalised hidden state x, [tokens, outputs of gate].
  func expand(
    _ layout: WindowLayout, _ context: LayerContext, inputs: (_ slab: Int) throws -> FloatBuffer
  ) throws -> Activations {
    var expanded = Activations(layout, columns: gate.outputs, storage: context.storage)
    let gateBias = try context.bias(gate)
    let upBias = try context.bias(up)
    for request in expansions(context.weightLimit) {
      let loaded = try context.stream.take(request)
      let rows = gate.outputs(of: request.pieces[0].rows)
      let upResult = context.scratch(layout.slabTokens * rows.count)
      for slab in 0..<layout.slabs {
        let tokens = layout.tokens(inSlab: slab)
        let x = try inputs(slab)
        if rows.lowerBound == 0 {
          try context.observe(
            expansionMatrices, x.floats.slice(0, tokens * gate.inputs), columns: gate.inputs,
            matrix: gate.matrix)
        }
        try layout.locating(inSlab: slab) {
          try context.product(
            x.floats, tokens: tokens, by: loaded.matrix(1), into: upResult.floats,
            yStride: rows.count, tensor: up.weight.name)
        }
        if let upBias {
          try add(
            upBias.floats.from(rows.lowerBound), to: upResult.floats, rows: tokens, columns: rows.count,
            stride: rows.count)
        }
        try expanded.fill(slab, columns: rows) { y, stride in
          try context.product(
            x.floats, tokens: tokens, by: loaded.matrix(0), into: y,
            yStride: stride, tensor: gate.weight.name)
          if let gateBias {
            try add(
              gateBias.floats.from(rows.lowerBound), to: y, rows: tokens, columns: rows.count, stride: stride)
          }
          try gatedUnit(
            y, gateStride: stride, up: upResult.floats, rows: tokens, columns: rows.count, function: function)
        }
      }
    }
    return expanded
  }
}
