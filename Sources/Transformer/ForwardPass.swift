import GGUF
import Tensors

/// The forward pass of a model. All windows of text go through a layer before the next, so every weight is read once.
///
///     let pass = try ForwardPass(source: model)
///     let final = try pass.run(windows: windows, scored: 256..<511)
///     try final.logits(rows: 0..<255, vocabulary: 0..<final.vocabularyCount, into: &logits)
///
/// The arithmetic is in single precision. Results do not depend on the number of threads.
public final class ForwardPass {
  let source: any ModelSource
  /// The model's structure.
  public let decoder: Decoder
  let options: ForwardOptions
  let engine: any ProductEngine

  /// - Throws: ``ForwardError`` where the model is not supported or incomplete, `UnknownProductEngine`.
  public init(source: any ModelSource, options: ForwardOptions = ForwardOptions()) throws {
    self.source = source
    self.options = options
    engine = try options.engine ?? ProductEngines.chosen()
    decoder = try Decoder(source)
  }

  /// Bytes for a tile of logits; the same number remains for loading final states.
  ///
  /// - Parameters:
  ///   - kept: bytes that the caller needs in addition.
  ///   - minimum: the smallest useful tile.
  /// - Throws: ``ForwardError/budgetTooSmall(bytes:minimum:)`` where fewer than `minimum` bytes remain.
  public func logitBytes(beside kept: Int, minimum: Int) throws(ForwardError) -> Int {
    try options.budget.logits(
      beside: ForwardPlan.programBytes(decoder, models: options.results),
      work: kept + options.results * ForwardPlan.headBytes(decoder) + ForwardPlan.logitWorkBytes(decoder, engine),
      minimum: minimum)
  }

  /// Bytes of the program, the model's metadata and its tokenizer.
  package var programBytes: Int { ForwardPlan.programBytes(decoder, models: options.results) }

  /// The memory and the work of a run.
  ///
  /// - Parameters:
  ///   - windows: the number of windows.
  ///   - length: tokens in a window.
  ///   - scored: positions of every window whose final states are kept.
  ///   - observer: the observer of the run.
  /// - Throws: ``ForwardError/noWindows``, ``ForwardError/beyondSlidingWindow(key:positions:length:)`` or
  ///   ``ForwardError/budgetTooSmall(bytes:minimum:)``.
  public func plan(
    windows: Int, length: Int, scored: Int = 0, observer: (any ForwardObserver)? = nil
  ) throws -> ForwardPlan {
    guard windows > 0, length > 0 else { throw ForwardError.noWindows }
    if let limit = decoder.textLimit, length > limit.positions {
      throw ForwardError.beyondSlidingWindow(key: limit.key, positions: limit.positions, length: length)
    }
    return try ForwardPlan(
      decoder, windows: windows, length: length, budget: options.budget, engine: engine,
      purpose: ForwardPlan.Purpose(scored: scored, observer: observer, results: options.results))
  }

  /// Runs the whole model.
  ///
  /// - Parameters:
  ///   - windows: token ids, all windows of one length.
  ///   - scored: the positions of every window whose final states are kept.
  ///   - observer: receives the inputs of every product.
  ///   - resuming: the last states of an interrupted run of the same windows.
  ///   - progress: advances with every product; its steps are layers.
  ///   - snapshot: called after every layer except the last with the states to resume from.
  /// - Throws: ``ForwardError``, and errors of the source, the scratch file and the closures.
  public func run(
    windows: [[Int32]], scored: Range<Int>, observer: (any ForwardObserver)? = nil, resuming: HiddenStates? = nil,
    progress: any RunObserver = NoObserver(), snapshot: (HiddenStates) throws -> Void = { _ in }
  ) throws -> FinalStates {
    let states = try advance(
      windows: windows, before: decoder.layerCount, scored: scored, observer: observer, resuming: resuming,
      progress: progress, snapshot: snapshot)
    return try finish(states, scored: scored, observer: observer)
  }

  /// Runs the layers before one.
  ///
  /// - Parameters:
  ///   - end: the number of layers to run.
  ///   - scored: the positions of every window that are kept behind the last layer of the model, if there is no observer.
  ///   - observer, resuming, progress: as in ``run(windows:scored:observer:resuming:progress:snapshot:)``
  ///   - snapshot: called after every layer except the last of these.
  package func advance(
    windows: [[Int32]], before end: Int, scored: Range<Int> = 0..<0, observer: (any ForwardObserver)? = nil,
    resuming: HiddenStates? = nil, progress: any RunObserver = NoObserver(),
    snapshot: (HiddenStates) throws -> Void = { _ in }
  ) throws -> HiddenStates {
    let plan = try plan(
      windows: windows.count, length: windows.first?.count ?? 0, scored: scored.count, observer: observer)
    var states = try resuming ?? embed(windows, plan)
    states.plan = plan
    let context = try makeContext(for: states, source: source, observer: observer)
    let meter = WorkMeter(
      operations: plan.layerOperations, layers: decoder.layerCount, layer: states.layer, observer: progress)
    context.meter = meter
    defer { context.stream.cancel() }
    if states.layer > 0 { try meter.finish(layers: states.layer) }
    if states.layer < end {
      context.stream.announce(decoder.layers[states.layer].firstReads(context.weightLimit))
    }
    for index in states.layer..<max(end, states.layer) {
      // An observer receives all tokens. Without one, the last layer is needed only at scored positions.
      let isRestricted = index == decoder.layerCount - 1 && observer == nil
      let isLast = index == end - 1
      try run(index, &states, context, keeping: isRestricted ? scored : nil, isLast: isLast)
      if !isLast { try snapshot(states) }
      try meter.finish(layers: index + 1)
    }
    return states
  }

  /// The embedded tokens of all windows: the states before layer 0.
  package func embed(_ windows: [[Int32]]) throws -> HiddenStates {
    try embed(windows, plan(windows: windows.count, length: windows.first?.count ?? 0))
  }

  /// The embedded tokens of all windows.
  ///
  /// - Parameters:
  ///   - source: the embedding's source; nil for the model.
  ///   - windowsPerSlab: nil for the number in the plan.
  func embed(
    _ windows: [[Int32]], _ plan: ForwardPlan, source: (any ModelSource)? = nil, windowsPerSlab: Int? = nil
  ) throws -> HiddenStates {
    let length = windows[0].count
    for (index, window) in windows.enumerated() where window.count != length {
      throw ForwardError.unequalWindows(index: index, count: window.count, expected: length)
    }
    let tokens = try EmbeddingRows.tokens(of: windows, vocabulary: decoder.vocabularyCount)
    var activations = try emptyStates(
      windows: windows.count, length: length, plan, windowsPerSlab: windowsPerSlab)
    let layout = activations.layout
    // The rows may use the memory of the weight buffers, which are not allocated yet.
    let rowsAtOnce = max(1, MemoryBudget.weightBuffers * plan.weightLimit / decoder.width)
    for start in stride(from: 0, to: tokens.count, by: rowsAtOnce) {
      let embedding = try EmbeddingRows(
        tokens[start..<min(tokens.count, start + rowsAtOnce)], source: source ?? self.source,
        tensor: decoder.embedding)
      for slab in 0..<layout.slabs {
        try activations.update(slab) { rows in
          for (offset, window) in layout.windows(inSlab: slab).enumerated() {
            embedding.write(windows[window], into: rows.from(offset * length * decoder.width))
          }
        }
      }
    }
    if decoder.normalizesEmbedding {
      let ones = FloatBuffer(count: decoder.width)
      ones.floats.fill(with: 1)
      for slab in 0..<layout.slabs {
        try activations.update(slab) {
          try normalize(
            $0, rows: layout.tokens(inSlab: slab), columns: decoder.width, weight: ones.floats,
            epsilon: decoder.epsilon, into: $0)
        }
      }
    }
    if decoder.embeddingScale != 1 {
      for slab in 0..<layout.slabs {
        try activations.update(slab) {
          try multiply($0, by: decoder.embeddingScale, count: layout.tokens(inSlab: slab) * decoder.width)
        }
      }
    }
    var states = HiddenStates(layer: 0, activations: activations, plan: plan)
    if let inputs = decoder.layerInputs {
      states.carried = try inputs.embed(
        windows, tokens, activations, rowsAtOnce: max(1, rowsAtOnce * decoder.width / inputs.columns),
        epsilon: decoder.epsilon, source: source ?? self.source, engine: engine)
    }
    return states
  }

  /// Storage for the states of all windows.
  func emptyStates(
    windows: Int, length: Int, _ plan: ForwardPlan, windowsPerSlab: Int? = nil
  ) throws -> Activations {
    let layout = WindowLayout(
      windows: windows, length: length, firstPosition: 0, windowsPerSlab: windowsPerSlab ?? plan.windowsPerSlab)
    let storage = ActivationStorage(
      account: MemoryAccount(limit: plan.activationLimit),
      scratch: plan.needsScratch ? try ScratchFile(directory: options.scratchDirectory) : nil)
    return Activations(
      layout, columns: decoder.width, storage: storage, spills: windowsPerSlab.map { _ in plan.spills })
  }

  /// Runs one layer.
  ///
  /// - Parameter source: replaces the model's weights; its tensors have the same names and shapes.
  package func layer(
    _ index: Int, _ states: inout HiddenStates, source: (any ModelSource)? = nil,
    observer: (any ForwardObserver)? = nil
  ) throws {
    let context = try makeContext(for: states, source: source ?? self.source, observer: observer)
    defer { context.stream.cancel() }
    context.stream.announce(decoder.layers[index].firstReads(context.weightLimit))
    try run(index, &states, context, keeping: nil, isLast: true)
  }

  /// The normalised states of the scored positions.
  ///
  /// - Parameter source: replaces the model's output norm and head.
  /// - Throws: ``ForwardError/nonFinite(tensor:window:position:)``, and errors of the source and the scratch file.
  public func finish(
    _ states: HiddenStates, scored: Range<Int>, source: (any ModelSource)? = nil,
    observer: (any ForwardObserver)? = nil
  ) throws -> FinalStates {
    try FinalStates.normalizing(
      states, decoder: decoder, source: source ?? self.source, engine: engine, scored: scored,
      limit: states.plan.finalLimit, observer: observer)
  }

  func makeContext(
    for states: HiddenStates, source: any ModelSource, observer: (any ForwardObserver)?
  ) throws -> LayerContext {
    let layout = states.activations.layout
    return LayerContext(
      decoder, source: source, engine: engine, observer: observer, storage: states.activations.storage,
      rotations: try decoder.rotations.map {
        RotationTable(
          $0.rope, factors: try factors(of: $0, source, positions: layout.firstPosition + layout.length),
          positions: layout.firstPosition + layout.length)
      },
      plan: states.plan)
  }

  private func factors(of rotation: LayerRotation, _ source: any ModelSource, positions: Int) throws -> [Float]? {
    guard let tensor = rotation.factors(positions: positions) else { return nil }
    var factors = [Float](repeating: 1, count: tensor.shape.count)
    var span = factors.mutableSpan
    try source.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &span)
    return factors
  }

  func run(
    _ index: Int, _ states: inout HiddenStates, _ context: LayerContext, keeping: Range<Int>?, isLast: Bool
  ) throws {
    precondition(states.layer == index, "states are before layer \(states.layer), not \(index)")
    let parts = decoder.layers[index].parts
    let next = isLast ? [] : decoder.layers[index + 1].firstReads(context.weightLimit)
    // Requests that follow those of a part whose reads depend on routing are announced by that part.
    let router = parts.firstIndex { $0.readsDependOnRouting }
    let announced = router.map { $0 + 1 } ?? parts.count
    for part in parts[1..<announced] { context.stream.announce(part.reads(context.weightLimit)) }
    let following = parts[announced...].flatMap { $0.reads(context.weightLimit) } + next
    if router == nil { context.stream.announce(following) }
    context.carried = states.carried
    states.carried = [:]
    for (offset, part) in parts.enumerated() {
      context.following = offset == router ? following : []
      try part.run(&states.activations, context, keeping: offset == 0 ? keeping : nil)
    }
    states.carried = context.carried
    context.carried = [:]
    states.layer = index + 1
  }
}
