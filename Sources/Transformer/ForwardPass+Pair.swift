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
    // As many states as twice the text has, with room for what the observer keeps.
    var plan = try plan(windows: 2 * windows, length: length, observer: PairRoom(workBytes: observer.workBytes))
    // Two streams of weights share the blocks.
    plan.halveBlocks()
    return plan
  }

  /// Runs the whole model, or some layers of it, in two streams.
  ///
  /// - Parameters:
  ///   - rounded: the model of the second stream. Its embedding is known; the tensors of a layer are read after
  ///     ``PairObserver/end(_:)`` has named them.
  ///   - layers: those that run in two streams; the exact model alone runs the layers before them. nil for all.
  ///   - starts: layers before which the second stream begins again as a copy of the exact one. The first of `layers`
  ///     is one of them, except layer 0.
  ///   - resuming: states of both streams that an interrupted run of the same windows came to; those of the exact stream
  ///     alone where it had not come to `layers`.
  ///   - progress: hears of every product.
  ///   - snapshot: called after every layer but the last with the states to resume from.
  public func runPair(
    windows: [[Int32]], rounded source: any ModelSource, observer: any PairObserver, layers: Range<Int>? = nil,
    starts: Set<Int> = [], resuming: (exact: HiddenStates, rounded: HiddenStates?)? = nil,
    progress: any RunObserver = NoObserver(),
    snapshot: (_ exact: HiddenStates, _ rounded: HiddenStates?) throws -> Void = { _, _ in }
  ) throws {
    let layers = layers ?? 0..<decoder.layerCount
    let plan = try pairPlan(windows: windows.count, length: windows.first?.count ?? 0, observer: observer)
    var exact = try resuming?.exact ?? embed(windows, plan)
    exact.plan = plan
    var second =
      try resuming?.rounded
      ?? (layers.lowerBound == 0 ? embed(windows, plan, source: source) : unwritten(like: exact, plan))
    precondition(
      exact.layer == second.layer || exact.layer <= layers.lowerBound,
      "streams before layers \(exact.layer) and \(second.layer)")
    second.plan = plan
    let contexts = [
      try makeContext(for: exact, source: self.source, observer: nil),
      try makeContext(for: second, source: source, observer: nil),
    ]
    let meter = WorkMeter(
      operations: plan.layerOperations, layers: decoder.layerCount, layer: exact.layer, observer: progress)
    for context in contexts { context.meter = meter }
    defer { for context in contexts { context.stream.cancel() } }
    let pair = PairContext(exact: contexts[0], rounded: contexts[1], observer: observer)
    if exact.layer > 0 { try meter.finish(layers: exact.layer) }
    if exact.layer < layers.lowerBound {
      contexts[0].stream.announce(decoder.layers[exact.layer].firstReads(contexts[0].weightLimit))
      for index in exact.layer..<layers.lowerBound {
        try run(index, &exact, contexts[0], keeping: nil, isLast: index == layers.lowerBound - 1)
        try snapshot(exact, nil)
        try meter.finish(layers: index + 1)
      }
    }
    for index in exact.layer..<max(exact.layer, layers.upperBound) {
      if index > 0, starts.contains(index) || index == layers.lowerBound {
        try second.activations.assign(exact.activations)
        second.layer = index
      }
      for part in decoder.layers[index].parts {
        guard let part = part as? any PairedPart else { preconditionFailure("layer \(index) runs no pairs") }
        try part.runPair(&exact.activations, &second.activations, pair)
      }
      exact.layer = index + 1
      second.layer = index + 1
      if index < layers.upperBound - 1 { try snapshot(exact, second) }
      try meter.finish(layers: index + 1)
    }
    if layers.upperBound == decoder.layerCount { try observeOutput(exact, second, pair) }
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

  private func observeOutput(_ exact: HiddenStates, _ rounded: HiddenStates, _ pair: PairContext) throws {
    try pair.observe([decoder.output], norm: decoder.outputNorm, exact.activations, rounded.activations)
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

/// The needs of the parts of a layer in two streams.
struct PairContext {
  let exact: LayerContext
  let rounded: LayerContext
  let observer: any PairObserver

  /// Observes normalised hidden states.
  func observe(_ tensors: [TensorInfo], norm: TensorInfo, _ a: Activations, _ b: Activations) throws {
    let names = tensors.map(\.name)
    let (layout, columns) = (a.layout, a.columns)
    let weights = (try exact.vector(norm), try rounded.vector(norm))
    let x = exact.scratch(layout.slabTokens * columns)
    let y = rounded.scratch(layout.slabTokens * columns)
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
  func observe(
    _ tensor: TensorInfo, _ a: Activations, _ b: Activations, residual: (exact: Activations, rounded: Activations)
  ) throws {
    let columns = a.columns
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

/// A part that runs in two streams.
protocol PairedPart: LayerPart {
  func runPair(_ a: inout Activations, _ b: inout Activations, _ context: PairContext) throws
  /// False where the part changes the output of its last matrix: what that matrix adds to the hidden states can't be
  /// observed.
  var runsPairs: Bool { get }
}

extension GroupedAttention: PairedPart {
  var runsPairs: Bool {
    norm != nil && postNorm == nil && outputScale == 1 && keySource == nil && !keepsKeys && v != nil
  }

  func runPair(_ a: inout Activations, _ b: inout Activations, _ context: PairContext) throws {
    context.exact.stream.announce(reads(context.exact.weightLimit))
    guard let norm else { preconditionFailure("attention without a norm runs no pairs") }
    try context.observe(inputs.tensors, norm: norm, a, b)
    // Not before the observer has rounded them.
    context.rounded.stream.announce(inputs.reads(context.rounded.weightLimit))
    let x = try attend(a, context.exact, keeping: nil)
    let y = try attend(b, context.rounded, keeping: nil)
    try context.observe(output.weight, x, y, residual: (a, b))
    context.rounded.stream.announce(output.reads(context.rounded.weightLimit))
    try context.exact.addProduct(output, to: &a) { try x.read($0) }
    try context.rounded.addProduct(output, to: &b) { try y.read($0) }
  }
}

extension DenseFeedForward: PairedPart {
  var runsPairs: Bool { norm != nil && postNorm == nil && outputScale == 1 }

  func runPair(_ a: inout Activations, _ b: inout Activations, _ context: PairContext) throws {
    context.exact.stream.announce(reads(context.exact.weightLimit))
    guard let norm else { preconditionFailure("a network without a norm runs no pairs") }
    try context.observe(unit.expansionMatrices, norm: norm, a, b)
    context.rounded.stream.announce(unit.expansions(context.rounded.weightLimit))
    let x = try expand(a, context.exact)
    let y = try expand(b, context.rounded)
    try context.observe(unit.down.weight, x, y, residual: (a, b))
    context.rounded.stream.announce(unit.down.reads(context.rounded.weightLimit))
    try context.exact.addProduct(unit.down, to: &a) { try x.read($0) }
    try context.rounded.addProduct(unit.down, to: &b) { try y.read($0) }
  }
}
