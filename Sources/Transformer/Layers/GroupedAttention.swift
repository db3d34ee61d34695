import GGUF
import Tensors

/// Causal self-attention in which groups of query heads share a key head and a value head (arXiv 2305.13245).
struct GroupedAttention: LayerPart {
  let heads: Int
  let keyHeads: Int
  let keyLength: Int
  let valueLength: Int
  /// The weights of RMSNorm over the hidden states; nil where they are the inputs as they are.
  let norm: TensorInfo?
  let q: Linear
  /// Nil where the keys and values are those of ``keySource``.
  let k: Linear?
  /// Nil where the values are the products of ``k``.
  let v: Linear?
  let output: Linear
  /// The weights of RMSNorm over each head's query, or over those of all heads; nil without it.
  let queryNorm: TensorInfo?
  /// The weights of RMSNorm over each head's key, or over those of all heads; nil without it.
  let keyNorm: TensorInfo?
  /// The index of the rotation of queries and keys; nil without one.
  var rotation: Int? = 0
  /// The number of positions that a query sees, with its own; nil for all.
  var slidingWindow: Int?
  /// The factor of scores; nil for 1 / sqrt(keyLength).
  var scale: Float?
  /// Whether each head's value is normalised, without weights.
  var normalizesValues = false
  /// The weights of RMSNorm over the output; nil without it.
  var postNorm: TensorInfo?
  /// The addend of that norm's mean square; nil for the model's.
  var postEpsilon: Float?
  /// The factor of the output.
  var outputScale: Float = 1
  /// Growth of the scores with the position; nil for none.
  var temperature: AttentionTemperature?
  /// A matrix of gates, by whose sigmoids the results of all heads are multiplied; nil without.
  var gate: Linear?
  /// The layer whose keys and values this one uses; nil for its own.
  var keySource: Int?
  /// The index of this layer.
  var layer = 0
  /// Whether later layers use this one's keys and values.
  var keepsKeys = false
  /// For each head, one more scaled score in the sum of the softmax (arXiv 2309.17453); nil without.
  var sinks: TensorInfo?

  /// Whether the outputs of `q` are a head's query, then its gate: the head's result is multiplied by the gate's sigmoid.
  var isGated = false

  /// Elements from the query of a head to that of the next.
  var queryLength: Int { keyLength * (isGated ? 2 : 1) }
  /// The matrices of the normalised hidden states. Several may be parts of one tensor.
  var inputs: [Linear] { [q, k, v, gate].compactMap { $0 } }
  private var keyWidth: Int { keyHeads * keyLength }
  private var valueWidth: Int { keyHeads * valueLength }

  var matrices: [TensorInfo] { inputs.tensors + [output.weight] }
  var columnsPerToken: Int {
    q.outputs + (keySource == nil ? keyWidth + valueWidth : 0) + (gate?.outputs ?? 0)
      + (postNorm == nil && outputScale == 1 ? 0 : output.outputs)
  }
  func keptColumns(layer: Int) -> [(key: CarriedStates, columns: Int)] {
    keepsKeys ? [(.keys(layer: layer), keyWidth), (.values(layer: layer), valueWidth)] : []
  }
  var attentionPerToken: Int { heads * (keyLength + valueLength) }
  func scratchBytes(length: Int, isObserved: Bool) -> Int {
    Threads.count * attentionBytes(length: length, keyLength: keyLength, valueLength: valueLength)
  }

  func reads(_ limit: Int) -> [WeightRequest] { inputs.reads(limit) + output.reads(limit) }

  func run(_ hidden: inout Activations, _ context: LayerContext, keeping: Range<Int>?) throws {
    var attended = try attend(hidden, context, keeping: keeping)
    if let keeping { try hidden.restrict(to: keeping) }
    try context.addProduct(output, to: &hidden, norm: postNorm, epsilon: postEpsilon, scale: outputScale) {
      try attended.read($0)
    }
    for slab in 0..<attended.layout.slabs { attended.drop(slab) }
  }

  /// The heads' outputs side by side, [tokens, heads x valueLength].
  func attend(_ hidden: Activations, _ context: LayerContext, keeping: Range<Int>?) throws -> Activations {
    let layout = hidden.layout
    let queryLayout = keeping.map { layout.keeping($0) } ?? layout
    var queries = Activations(queryLayout, columns: q.outputs, storage: context.storage)
    var keys = Activations(layout, columns: keyWidth, storage: context.storage)
    var values = Activations(layout, columns: valueWidth, storage: context.storage)
    var gates = Activations(queryLayout, columns: gate?.outputs ?? 0, storage: context.storage)
    try context.project(hidden, by: inputs, norm: norm) { linear, slab, x, rows, weights in
      if linear == q {
        try queries.fill(slab, columns: rows) { y, stride in
          try projectQueries(q, x, weights, into: y, stride, layout, queryLayout, slab, context)
        }
      } else if linear == gate {
        try gates.fill(slab, columns: rows) { y, stride in
          try projectQueries(linear, x, weights, into: y, stride, layout, queryLayout, slab, context)
        }
      } else {
        let fill = { (y: FloatView, stride: Int) in
          try context.product(
            x, tokens: layout.tokens(inSlab: slab), by: weights, into: y,
            yStride: stride, tensor: linear.weight.name)
        }
        if linear == k { try keys.fill(slab, columns: rows, fill) } else { try values.fill(slab, columns: rows, fill) }
      }
    }
    if let keySource {
      guard let sharedKeys = context.carried[.keys(layer: keySource)],
        let sharedValues = context.carried[.values(layer: keySource)]
      else { preconditionFailure("no keys of layer \(keySource)") }
      (keys, values) = (sharedKeys, sharedValues)
    }
    var attended = Activations(queryLayout, columns: heads * valueLength, storage: context.storage)
    let preparation = try HeadPreparation(self, context)
    let sinks = try sinks.map { try context.vector($0).floats.withSpan { span in span.indices.map { span[$0] } } }
    for slab in 0..<layout.slabs {
      let windows = layout.windows(inSlab: slab).count
      try queries.update(slab) { try preparation.queries($0, windows: windows, queryLayout) }
      if keySource == nil {
        if v == nil {
          let products = try keys.read(slab)
          try values.update(slab) {
            copyRows(
              from: products.floats, stride: keyWidth, to: $0, stride: valueWidth, rows: windows * layout.length,
              columns: valueWidth)
          }
        }
        try keys.update(slab) { try preparation.keys($0, windows: windows, layout) }
        try preparation.values(&values, slab)
      }
      let rows = (try queries.read(slab), try keys.read(slab), try values.read(slab))
      let gateRows = gate == nil ? nil : try gates.read(slab)
      try attended.update(slab) {
        try Transformer.attend(
          rows.0.floats, rows.1.floats, rows.2.floats, into: $0,
          AttentionShape(
            windows: windows, queries: queryLayout.length, firstPosition: queryLayout.firstPosition,
            keys: layout.length, heads: heads, keyHeads: keyHeads, keyLength: keyLength, valueLength: valueLength,
            queryLength: queryLength, queryStride: q.outputs, keyStride: keyWidth, valueStride: valueWidth,
            outStride: heads * valueLength, scale: scale ?? 1 / Float(keyLength).squareRoot(),
            slidingWindow: slidingWindow), sinks: sinks)
        if isGated {
          try applyGates(
            rows.0.floats.from(keyLength), gateStride: queryLength, to: $0,
            rows: windows * queryLayout.length * heads, columns: valueLength)
        }
        if let gateRows {
          try applyGates(
            gateRows.floats, gateStride: valueLength, to: $0, rows: windows * queryLayout.length * heads,
            columns: valueLength)
        }
      }
      try context.meter?.add(
        Double(windows * queryLayout.length) * Double(attentionPerToken)
          * attendedPositions(length: layout.length, slidingWindow: slidingWindow))
      queries.drop(slab)
      if gate != nil { gates.drop(slab) }
      guard !keepsKeys else { continue }
      keys.drop(slab)
      values.drop(slab)
    }
    if keepsKeys {
      context.carried[.keys(layer: layer)] = keys
      context.carried[.values(layer: layer)] = values
    }
    return attended
  }

  /// Computes queries, or gates, at the kept positions.
  private func projectQueries(
    _ linear: Linear, _ x: FloatView, _ weights: WeightMatrix, into y: FloatView, _ stride: Int, _ layout: WindowLayout,
    _ queryLayout: WindowLayout, _ slab: Int, _ context: LayerContext
  ) throws {
    if layout == queryLayout {
      return try context.product(
        x, tokens: layout.tokens(inSlab: slab), by: weights, into: y,
        yStride: stride, tensor: linear.weight.name)
    }
    for window in 0..<layout.windows(inSlab: slab).count {
      let first = window * layout.length + queryLayout.firstPosition - layout.firstPosition
      do {
        try context.product(
          x.from(first * linear.inputs), tokens: queryLayout.length, by: weights,
          into: y.from(window * queryLayout.length * stride), yStride: stride, tensor: linear.weight.name)
      } catch ForwardError.nonFinite(let tensor, _, let row?) {
        throw ForwardError.nonFinite(tensor: tensor, position: window * queryLayout.length + row)
      }
    }
  }
}

/// Adds biases to queries and keys, normalises and rotates them.
private struct HeadPreparation {
  let part: GroupedAttention
  let context: LayerContext
  let queryBias: FloatBuffer?
  let keyBias: FloatBuffer?
  let valueBias: FloatBuffer?
  let queryNorm: FloatBuffer?
  let keyNorm: FloatBuffer?

  init(_ part: GroupedAttention, _ context: LayerContext) throws {
    self.part = part
    self.context = context
    queryBias = try context.bias(part.q)
    keyBias = try part.k.flatMap(context.bias)
    valueBias = try part.v.flatMap(context.bias)
    queryNorm = try part.queryNorm.map(context.vector)
    keyNorm = try part.keyNorm.map(context.vector)
  }

  func queries(_ x: FloatView, windows: Int, _ layout: WindowLayout) throws {
    try prepare(
      x, windows, layout, heads: part.heads, stride: part.queryLength, bias: queryBias, norm: queryNorm)
    try part.temperature?.apply(
      x, tokens: windows * layout.length, length: layout.length, firstPosition: layout.firstPosition,
      columns: part.heads * part.queryLength)
  }

  func keys(_ x: FloatView, windows: Int, _ layout: WindowLayout) throws {
    try prepare(
      x, windows, layout, heads: part.keyHeads, stride: part.keyLength, bias: keyBias, norm: keyNorm)
  }

  func values(_ x: inout Activations, _ slab: Int) throws {
    let (tokens, width) = (x.layout.tokens(inSlab: slab), x.columns)
    if let valueBias {
      try x.update(slab) { try add(valueBias.floats, to: $0, rows: tokens, columns: width, stride: width) }
    }
    guard part.normalizesValues else { return }
    let ones = FloatBuffer(count: part.valueLength)
    ones.floats.fill(with: 1)
    try x.update(slab) {
      try normalize(
        $0, rows: tokens * part.keyHeads, columns: part.valueLength, weight: ones.floats, epsilon: context.epsilon,
        into: $0)
    }
  }

  private func prepare(
    _ x: FloatView, _ windows: Int, _ layout: WindowLayout, heads: Int, stride: Int, bias: FloatBuffer?,
    norm: FloatBuffer?
  ) throws {
    let width = heads * stride
    let tokens = windows * layout.length
    if let bias { try add(bias.floats, to: x, rows: tokens, columns: width, stride: width) }
    if let norm {
      // A norm over all heads has as many weights.
      let columns = norm.count == part.keyLength ? part.keyLength : width
      try normalize(
        x, rows: tokens * width / max(columns, stride), columns: columns, weight: norm.floats, epsilon: context.epsilon,
        into: x, xStride: max(columns, stride), yStride: max(columns, stride))
    }
    guard let rotation = part.rotation else { return }
    try context.rotations[rotation].apply(
      x, windows: windows, length: layout.length, firstPosition: layout.firstPosition, stride: width, heads: heads,
      headStride: stride)
  }
}
