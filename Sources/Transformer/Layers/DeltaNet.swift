import GGUF
import Tensors

/// A gated delta net: attention with a state of constant size in place of the keys and values of all positions.
struct DeltaNet: LayerPart {
  /// The projections of decays and rates.
  enum Rates: Sendable {
    /// `ssm_alpha` and `ssm_beta` [width, value heads].
    case separate(decays: Linear, rates: Linear)
    /// `ssm_ba`: for each key head the rates, then the decays, of its value heads.
    case joint(Linear)

    var linears: [Linear] {
      switch self {
      case .separate(let decays, let rates): [decays, rates]
      case .joint(let both): [both]
      }
    }
  }

  /// The projections of queries, keys, values and gates.
  enum Heads: Sendable {
    /// `attn_qkv`: queries, keys and values of all heads; `attn_gate`: the gates of the outputs.
    case separate(qkv: Linear, gate: Linear)
    /// `ssm_in`: for each key head its query, key, values and gates.
    case joint(Linear)

    var linears: [Linear] {
      switch self {
      case .separate(let qkv, let gate): [qkv, gate]
      case .joint(let all): [all]
      }
    }
  }

  let keyHeads: Int
  let valueHeads: Int
  /// Elements of a head.
  let size: Int
  /// Whether value heads that share a key head are neighbours. If not, value head i uses key head i mod `keyHeads`.
  let isGrouped: Bool
  let norm: TensorInfo
  let heads: Heads
  let rates: Rates
  /// [tokens, channels]
  let convolution: TensorInfo
  let a: TensorInfo
  let dt: TensorInfo
  let headNorm: TensorInfo
  let output: Linear

  /// Queries, keys and values of all heads.
  private var channels: Int { (2 * keyHeads + valueHeads) * size }
  var inputs: [Linear] { heads.linears + rates.linears }
  var matrices: [TensorInfo] { (inputs + [output]).map(\.weight) }
  var columnsPerToken: Int {
    let joint = if case .joint(let all) = heads { all.outputs } else { 0 }
    return inputs.reduce(0) { $0 + $1.outputs } + valueHeads * size + joint
  }
  func scratchBytes(length: Int, isObserved: Bool) -> Int {
    4 * (Threads.count * shape(windows: 1, length: length).workCount + convolution.shape.count)
  }
  func operationsPerToken(_ length: Int, _ allExperts: Bool) -> Double {
    2 * weightsPerToken(allExperts: allExperts) + ruleOperations
  }

  /// Operations of the delta rule for a token: three products with a state, and four with the other tokens of a chunk.
  private var ruleOperations: Double { 2 * Double(valueHeads * size * (3 * size + 2 * deltaChunk)) }

  private func shape(windows: Int, length: Int) -> DeltaShape {
    let group = valueHeads / keyHeads
    let heads = 0..<valueHeads
    let (rateColumns, decayColumns) =
      switch rates {
      case .separate: (heads.map { valueHeads + $0 }, Array(heads))
      case .joint:
        (heads.map { $0 / group * 2 * group + $0 % group }, heads.map { $0 / group * 2 * group + group + $0 % group })
      }
    return DeltaShape(
      windows: windows, length: length, size: size, keyHeads: keyHeads,
      groups: (0..<keyHeads).map { head in
        heads.filter { (isGrouped ? $0 / group : $0 % keyHeads) == head }
      }, rateColumns: rateColumns, decayColumns: decayColumns, convolution: convolution.shape.columns,
      chunk: min(deltaChunk, length))
  }

  func reads(_ limit: Int) -> [WeightRequest] { inputs.reads(limit) + output.reads(limit) }

  func run(_ hidden: inout Activations, _ context: LayerContext, keeping: Range<Int>?) throws {
    var mixed = try mix(hidden, context)
    if let keeping {
      try hidden.restrict(to: keeping)
      try mixed.restrict(to: keeping)
    }
    try context.addProduct(output, to: &hidden) { try mixed.read($0) }
    for slab in 0..<mixed.layout.slabs { mixed.drop(slab) }
  }

  /// The heads' gated outputs side by side, [tokens, valueHeads x size].
  func mix(_ hidden: Activations, _ context: LayerContext) throws -> Activations {
    let layout = hidden.layout
    let width = valueHeads * size
    let columns = rates.linears.reduce(0) { $0 + $1.outputs }
    var mixed = Activations(layout, columns: channels, storage: context.storage)
    var gates = Activations(layout, columns: width, storage: context.storage)
    var joint = Activations(layout, columns: channels + width, storage: context.storage)
    var factors = Activations(layout, columns: columns, storage: context.storage)
    try context.project(hidden, by: inputs, norm: norm) { linear, slab, x, rows, weights in
      let fill = { (y: FloatView, stride: Int) in
        try context.product(
          x, tokens: layout.tokens(inSlab: slab), by: weights, into: y, yStride: stride, tensor: linear.weight.name)
      }
      switch heads {
      case .separate(let qkv, _) where linear == qkv: try mixed.fill(slab, columns: rows, fill)
      case .separate(_, let gate) where linear == gate: try gates.fill(slab, columns: rows, fill)
      case .joint(let all) where linear == all: try joint.fill(slab, columns: rows, fill)
      default:
        let first = linear == rates.linears[0] ? 0 : rates.linears[0].outputs
        try factors.fill(slab, columns: first + rows.lowerBound..<first + rows.upperBound, fill)
      }
    }
    if case .joint = heads { try separate(&joint, into: &mixed, &gates) }
    let weights = try weights(context)
    var result = Activations(layout, columns: width, storage: context.storage)
    for slab in 0..<layout.slabs {
      let windows = layout.windows(inSlab: slab).count
      let inputs = (try mixed.read(slab), try factors.read(slab), try gates.read(slab))
      try result.update(slab) {
        try gatedDelta(
          inputs.0.floats, rates: inputs.1.floats, rateStride: columns, gates: inputs.2.floats, into: $0, weights,
          shape(windows: windows, length: layout.length), engine: context.engine)
      }
      try context.meter?.add(Double(windows * layout.length) * ruleOperations)
      mixed.drop(slab)
      factors.drop(slab)
      gates.drop(slab)
    }
    return result
  }

  /// Puts queries, keys and values of all heads side by side, and their gates in another matrix.
  private func separate(
    _ joint: inout Activations, into mixed: inout Activations, _ gates: inout Activations
  ) throws {
    let values = valueHeads / keyHeads * size
    let (rows, width, keys) = (2 * (size + values), valueHeads * size, keyHeads * size)
    for slab in 0..<joint.layout.slabs {
      let tokens = joint.layout.tokens(inSlab: slab)
      let source = try joint.read(slab)
      joint.drop(slab)
      func move(_ first: Int, _ count: Int, to target: FloatView, _ start: Int, stride: Int) {
        for head in 0..<keyHeads {
          copyRows(
            from: source.floats.from(head * rows + first), stride: joint.columns,
            to: target.from(start + head * count), stride: stride, rows: tokens, columns: count)
        }
      }
      try mixed.update(slab) {
        move(0, size, to: $0, 0, stride: channels)
        move(size, size, to: $0, keys, stride: channels)
        move(2 * size, values, to: $0, 2 * keys, stride: channels)
      }
      try gates.update(slab) { move(2 * size + values, values, to: $0, 0, stride: width) }
    }
  }

  /// The small tensors. The convolution's kernel is transposed, so that its channels are neighbours.
  private func weights(_ context: LayerContext) throws -> DeltaWeights {
    let stored = try context.vector(convolution)
    let kernel = FloatBuffer(count: convolution.shape.count)
    let taps = convolution.shape.columns
    withPointers(stored.floats, kernel.floats) { x, y in
      for channel in 0..<channels {
        for tap in 0..<taps { y.base[tap * channels + channel] = x.base[channel * taps + tap] }
      }
    }
    return DeltaWeights(
      kernel: kernel.floats, a: try context.vector(a).floats, dt: try context.vector(dt).floats,
      norm: try context.vector(headNorm).floats, epsilon: context.epsilon)
  }
}

extension DeltaNet: PairedPart {
  var runsPairs: Bool { true }

  func runPairs(_ a: inout Activations, _ b: inout [Activations], _ context: PairContext) throws {
    try context.run(
      self, &a, &b, tensors: inputs.map(\.weight), norm: norm, reads: { inputs.reads($0) }, output: output
    ) { try mix($0, $1) }
  }
}
