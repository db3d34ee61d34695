import GGUF

/// Adds RMSNorm(projection(gelu(gate x) * i)) to the hidden state x, with the layer's slice i of ``LayerInputs``.
struct LayerInput: LayerPart {
  let layer: Int
  /// [width, length of the slice]
  let gate: Linear
  /// [length of the slice, width]
  let projection: Linear
  let norm: TensorInfo

  var matrices: [TensorInfo] { [gate.weight, projection.weight] }
  var columnsPerToken: Int { 2 * gate.outputs + projection.outputs }

  func reads(_ limit: Int) -> [WeightRequest] { gate.reads(limit) + projection.reads(limit) }

  func run(_ hidden: inout Activations, _ context: LayerContext, keeping: Range<Int>?) throws {
    guard var slice = context.carried.removeValue(forKey: .input(layer: layer)) else {
      preconditionFailure("no inputs of layer \(layer)")
    }
    let layout = hidden.layout
    if slice.layout != layout {
      try slice.restrict(to: layout.firstPosition..<layout.firstPosition + layout.length)
    }
    var inner = Activations(layout, columns: gate.outputs, storage: context.storage)
    for request in gate.reads(context.weightLimit) {
      let loaded = try context.stream.take(request)
      let rows = gate.outputs(of: request.pieces[0].rows)
      for slab in 0..<layout.slabs {
        let tokens = layout.tokens(inSlab: slab)
        let x = try hidden.read(slab)
        let i = try slice.read(slab)
        if rows.lowerBound == 0 {
          try context.observe([gate.weight], x.floats.slice(0, tokens * gate.inputs), columns: gate.inputs)
        }
        try inner.fill(slab, columns: rows) { y, stride in
          try context.product(
            x.floats, tokens: tokens, by: loaded.matrix(0), into: y, yStride: stride, tensor: gate.weight.name)
          try gatedUnit(
            y, gateStride: stride, up: i.floats.from(rows.lowerBound), upStride: gate.outputs, rows: tokens,
            columns: rows.count, function: .geluTanh)
        }
      }
    }
    try context.addProduct(projection, to: &hidden, norm: norm) { try inner.read($0) }
  }
}

/// Multiplies the hidden states by a number.
struct LayerScale: LayerPart {
  /// [1]
  let scale: TensorInfo

  var matrices: [TensorInfo] { [] }
  var columnsPerToken: Int { 0 }

  func reads(_ limit: Int) -> [WeightRequest] { [] }

  func run(_ hidden: inout Activations, _ context: LayerContext, keeping: Range<Int>?) throws {
    let factor = try context.vector(scale).floats.withSpan { $0[0] }
    for slab in 0..<hidden.layout.slabs {
      let count = hidden.layout.tokens(inSlab: slab) * hidden.columns
      try hidden.update(slab) { try multiply($0, by: factor, count: count) }
    }
  }
}
