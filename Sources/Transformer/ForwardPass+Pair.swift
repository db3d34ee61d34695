import GGUF
import Tensors

/// Two streams of hidden states side by side, layer after layer: the exact model's, and that of a model whose weights become
/// known while the pass is running. Every input of a layer is seen in both before the rounded weights that it meets exist.
extension ForwardPass {
  /// True where every layer can run in two streams: grouped attention, and a feed-forward network without experts,
  /// both without norms of their outputs.
  public var runsPairs: Bool { decoder.runsPairs }

  /// The memory and work of the pass.
  ///
  /// - Throws: ``ForwardError/noWindows`` and ``ForwardError/budgetTooSmall(bytes:least:)``
  public func pairPlan(windows: Int, length: Int, observer: any PairObserver) throws -> ForwardPlan {
    try pairPlan(windows: windows, length: length, workBytes: observer.workBytes)
  }

  private func pairPlan(windows: Int, length: Int, workBytes: Int) throws -> ForwardPlan {
    // As many states as twice the text has, with room for what the observer keeps.
    var plan = try plan(windows: 2 * windows, length: length, observer: PairRoom(workBytes: workBytes))
    // Two streams of weights share the blocks.
    plan.halveBlocks()
    return plan
  }

  /// Runs the exact model, or some layers of it, and beside it a stream for each of several rounded models. Every stream has the
  /// bits that it has alone.
  ///
  /// - Parameters:
  ///   - rounded: the models of the other streams, and their observers. An embedding is known; the tensors of a layer are
  ///     read after ``PairObserver/end(_:)`` has named them. The sums of one observer are complete before those of the next
  ///     begin.
  ///   - layers: those that run in all streams; the exact model alone runs the layers before them. nil for all.
  ///   - starts: layers before which the other streams begin again as copies of the exact one. The first of `layers` is one
  ///     of them, except layer 0.
  ///   - resuming: states of all streams that an interrupted run of the same windows came to; those of the exact one alone
  ///     where it had not come to `layers`.
  ///   - progress: hears of every product.
  ///   - snapshot: called after every layer but the last with the states to resume from.
  package func runPairs(
    windows: [[Int32]], rounded: [(source: any ModelSource, observer: any PairObserver)], layers: Range<Int>? = nil,
    starts: Set<Int> = [], resuming: (exact: HiddenStates, rounded: [HiddenStates])? = nil,
    progress: any RunObserver = NoObserver(),
    snapshot: (_ exact: HiddenStates, _ rounded: [HiddenStates]) throws -> Void = { _, _ in }
  ) throws {
    let layers = layers ?? 0..<decoder.layerCount
    let plan = try pairPlan(
      windows: windows.count, length: windows.first?.count ?? 0, workBytes: rounded.map(\.observer.workBytes).max() ?? 0
    )
    var exact = try resuming?.exact ?? embed(windows, plan)
    exact.plan = plan
    var others = resuming?.rounded ?? []
    if others.isEmpty {
      for (source, _) in rounded {
        others.append(
          try layers.lowerBound == 0 ? embed(windows, plan, source: source) : unwritten(like: exact, plan))
      }
    }
    precondition(
      others.count == rounded.count
        && others.allSatisfy { exact.layer == $0.layer || exact.layer <= layers.lowerBound },
      "streams before layers \(exact.layer) and \(others.map(\.layer))")
    for index in others.indices { others[index].plan = plan }
    let pairs = PairContext(
      exact: try makeContext(for: exact, source: self.source, observer: nil),
      rounded: try zip(others, rounded).map { try makeContext(for: $0, source: $1.source, observer: nil) },
      observers: rounded.map(\.observer))
    let meter = WorkMeter(
      operations: plan.layerOperations * Double(1 + rounded.count) / 2, layers: decoder.layerCount, layer: exact.layer,
      observer: progress)
    for context in pairs.contexts { context.meter = meter }
    defer { for context in pairs.contexts { context.stream.cancel() } }
    if exact.layer > 0 { try meter.finish(layers: exact.layer) }
    if exact.layer < layers.lowerBound {
      pairs.exact.stream.announce(decoder.layers[exact.layer].firstReads(pairs.exact.weightLimit))
      for index in exact.layer..<layers.lowerBound {
        try run(index, &exact, pairs.exact, keeping: nil, isLast: index == layers.lowerBound - 1)
        try snapshot(exact, [])
        try meter.finish(layers: index + 1)
      }
    }
    // In an array of their own, so that they change in place.
    var states = others.map(\.activations)
    others = []
    for index in exact.layer..<max(exact.layer, layers.upperBound) {
      if index > 0, starts.contains(index) || index == layers.lowerBound {
        for stream in states.indices { try states[stream].assign(exact.activations) }
      }
      for part in decoder.layers[index].parts {
        guard let part = part as? any PairedPart else { preconditionFailure("layer \(index) runs no pairs") }
        try part.runPairs(&exact.activations, &states, pairs)
      }
      exact.layer = index + 1
      if index < layers.upperBound - 1 {
        try snapshot(exact, states.map { HiddenStates(layer: index + 1, activations: $0, plan: plan) })
      }
      try meter.finish(layers: index + 1)
    }
    guard layers.upperBound == decoder.layerCount else { return }
    for (stream, other) in states.enumerated() {
      try pairs.observe([decoder.output], norm: decoder.outputNorm, exact.activations, other, stream)
    }
  }

  /// Further streams that fit in the memory of a pass in two streams, with all their states; nil where even two do not.
  package func furtherStreams(windows: Int, length: Int, observer: any PairObserver) throws -> (count: Int, bytes: Int)?
  {
    let plan = try pairPlan(windows: windows, length: length, observer: observer)
    guard !plan.spills else { return nil }
    let bytes =
      4 * windows * length * decoder.width + MemoryBudget.weightBuffers * 4 * plan.weightLimit
    return (max(0, options.budget.total - plan.residentBytes) / max(1, bytes), bytes)
  }

  /// States of the same layout in storage of their own, whose rows are not written.
  private func unwritten(like states: HiddenStates, _ plan: ForwardPlan) throws -> HiddenStates {
    let storage = ActivationStorage(
      account: MemoryAccount(limit: plan.activationLimit),
      scratch: plan.needsScratch ? try ScratchFile(directory: options.scratchDirectory) : nil)
    return HiddenStates(
      layer: states.layer,
      activations: Activations(states.activations.layout, columns: states.activations.columns, storage: storage),
      plan: plan)
  }
}

extension Decoder {
  /// True where every layer can run in two streams (``ForwardPass/runsPairs``).
  public var runsPairs: Bool {
    layers.allSatisfy { $0.parts.allSatisfy { ($0 as? any PairedPart)?.runsPairs == true } }
  }
}

/// Asks for room in a pass.
private final class PairRoom: ForwardObserver {
  let workBytes: Int

  init(workBytes: Int) { self.workBytes = workBytes }

  func observe(_ tensors: [String], inputs: Span<Float>, columns: Int, matrix: ObservedMatrix) {}
}

/// The needs of the parts of a layer in the exact model's stream and in those of rounded models.
struct PairContext {
  let exact: LayerContext
  let rounded: [LayerContext]
  let observers: [any PairObserver]

  var contexts: [LayerContext] { [exact] + rounded }

  /// Runs a part in all streams: the products of normalised states, what becomes of them, and the product that is added to
  /// the states.
  ///
  /// - Parameters:
  ///   - part: its reads are those of the exact stream.
  ///   - tensors: the matrices that are multiplied by the normalised states.
  ///   - reads: the requests for them.
  ///   - output: the matrix whose product is added.
  ///   - compute: the inputs of `output`.
  func run(
    _ part: some LayerPart, _ a: inout Activations, _ b: inout [Activations], tensors: [TensorInfo], norm: TensorInfo,
    reads: (_ limit: Int) -> [WeightRequest], output: Linear,
    compute: (_ states: Activations, _ context: LayerContext) throws -> Activations
  ) throws {
    exact.stream.announce(part.reads(exact.weightLimit))
    for stream in b.indices { try observe(tensors, norm: norm, a, b[stream], stream) }
    // Not before the observer has rounded them.
    if let first = rounded.first { first.stream.announce(reads(first.weightLimit)) }
    let x = try compute(a, exact)
    for (stream, context) in rounded.enumerated() {
      // The weights of one rounded model at a time.
      if stream > 0 { context.stream.announce(reads(context.weightLimit)) }
      let y = try compute(b[stream], context)
      try observe(output.weight, x, y, residual: (a, b[stream]), stream)
      context.stream.announce(output.reads(context.weightLimit))
      try context.addProduct(output, to: &b[stream]) { try y.read($0) }
    }
    try exact.addProduct(output, to: &a) { try x.read($0) }
  }

  /// Observes normalised hidden states.
  func observe(_ tensors: [TensorInfo], norm: TensorInfo, _ a: Activations, _ b: Activations, _ stream: Int) throws {
    let (context, observer) = (rounded[stream], observers[stream])
    let names = tensors.map(\.name)
    let (layout, columns) = (a.layout, a.columns)
    let weights = (try exact.vector(norm), try context.vector(norm))
    let x = exact.scratch(layout.slabTokens * columns)
    let y = context.scratch(layout.slabTokens * columns)
    for slab in 0..<layout.slabs {
      let tokens = layout.tokens(inSlab: slab)
      try normalize(
        try a.read(slab).floats, rows: tokens, columns: columns, weight: weights.0.floats, epsilon: exact.epsilon,
        into: x.floats)
      try normalize(
        try b.read(slab).floats, rows: tokens, columns: columns, weight: weights.1.floats, epsilon: exact.epsilon,
        into: y.floats)
      try x.floats.slice(0, tokens * columns).withSpan { x in
        try y.floats.slice(0, tokens * columns).withSpan { y in
          try observer.observe(names, exact: x, rounded: y, columns: columns)
        }
      }
    }
    try observer.end(names)
  }

  /// Observes what a product adds to hidden states.
  private func observe(
    _ tensor: TensorInfo, _ a: Activations, _ b: Activations, residual: (exact: Activations, rounded: Activations),
    _ stream: Int
  ) throws {
    let (columns, observer) = (a.columns, observers[stream])
    for slab in 0..<a.layout.slabs {
      let (x, y) = (try a.read(slab), try b.read(slab))
      let (h, g) = (try residual.exact.read(slab), try residual.rounded.read(slab))
      let tokens = a.layout.tokens(inSlab: slab)
      let width = residual.exact.columns
      try x.floats.slice(0, tokens * columns).withSpan { x in
        try y.floats.slice(0, tokens * columns).withSpan { y in
          try observer.observe([tensor.name], exact: x, rounded: y, columns: columns)
          try h.floats.slice(0, tokens * width).withSpan { h in
            try g.floats.slice(0, tokens * width).withSpan { g in
              try observer.observe(residualOf: tensor.name, exact: h, rounded: g, width: width, inputs: y)
            }
          }
        }
      }
    }
    try observer.end([tensor.name])
  }
}

/// A part that runs in several streams.
protocol PairedPart: LayerPart {
  /// - Parameters:
  ///   - a: the exact model's states.
  ///   - b: those of each rounded model.
  func runPairs(_ a: inout Activations, _ b: inout [Activations], _ context: PairContext) throws
  /// False where the part changes the output of its last matrix: what that matrix adds to the hidden states can't be
  /// observed.
  var runsPairs: Bool { get }
}

extension GroupedAttention: PairedPart {
  var runsPairs: Bool {
    norm != nil && postNorm == nil && outputScale == 1 && keySource == nil && !keepsKeys && v != nil
  }

  func runPairs(_ a: inout Activations, _ b: inout [Activations], _ context: PairContext) throws {
    guard let norm else { preconditionFailure("attention without a norm runs no pairs") }
    try context.run(
      self, &a, &b, tensors: inputs.tensors, norm: norm, reads: { inputs.reads($0) }, output: output
    ) { try attend($0, $1, keeping: nil) }
  }
}

extension DenseFeedForward: PairedPart {
  var runsPairs: Bool { norm != nil && postNorm == nil && outputScale == 1 }

  func runPairs(_ a: inout Activations, _ b: inout [Activations], _ context: PairContext) throws {
    guard let norm else { preconditionFailure("a network without a norm runs no pairs") }
    try context.run(
      self, &a, &b, tensors: unit.expansionMatrices, norm: norm, reads: { unit.expansions($0) }, output: unit.down
    ) { try expand($0, $1) }
  }
}
