import GGUF
import Tensors

/// The forward pass of a model, layer after layer for all windows of text at once, so that every weight is read once
/// whatever the amount of text.
///
///     let pass = try ForwardPass(source: model)
///     let final = try pass.run(windows: windows, scored: 256..<511)
///     try final.logits(rows: 0..<255, vocabulary: 0..<final.vocabularyCount, into: &logits)
///
/// Results do not depend on the number of threads. All arithmetic is in single precision.
public final class ForwardPass {
  /// The model.
  public let source: any ModelSource
  /// The model's structure.
  public let decoder: Decoder
  /// What the pass may use.
  public let options: ForwardOptions
  let engine: any ProductEngine

  /// - Throws: ``ForwardError`` where the model's architecture is unknown or incomplete, and `UnknownProductEngine`.
  public init(source: any ModelSource, options: ForwardOptions = ForwardOptions()) throws {
    self.source = source
    self.options = options
    engine = try options.engine ?? ProductEngines.chosen()
    decoder = try Decoder(source)
  }

  /// Bytes for a tile of logits; as many are left for final states that have to be loaded.
  ///
  /// - Parameters:
  ///   - kept: bytes that the caller keeps beside them.
  ///   - minimum: bytes without which scoring makes no sense.
  /// - Throws: ``ForwardError/budgetTooSmall(bytes:least:)`` where less than `minimum` is left.
  public func logitBytes(beside kept: Int, minimum: Int) throws(ForwardError) -> Int {
    try options.budget.logits(
      beside: ForwardPlan.programBytes(decoder, models: options.results),
      work: kept + options.results * ForwardPlan.headBytes(decoder) + ForwardPlan.logitWorkBytes(decoder, engine),
      minimum: minimum)
  }

  /// What running `windows` windows of `length` tokens takes, of each of which `scored` positions are wanted.
  ///
  /// - Throws: ``ForwardError/noWindows`` and ``ForwardError/budgetTooSmall(bytes:least:)``
  public func plan(
    windows: Int, length: Int, scored: Int = 0, observer: (any ForwardObserver)? = nil
  ) throws -> ForwardPlan {
    guard windows > 0, length > 0 else { throw ForwardError.noWindows }
    if let positions = decoder.slidingWindow, length > positions {
      throw ForwardError.beyondSlidingWindow(
        key: "\(decoder.architecture).attention.sliding_window", positions: positions, length: length)
    }
    return try ForwardPlan(
      decoder, windows: windows, length: length, budget: options.budget, engine: engine,
      purpose: ForwardPlan.Purpose(scored: scored, observer: observer, results: options.results))
  }

  /// Runs the whole model.
  ///
  /// - Parameters:
  ///   - windows: token ids, all windows of one length.
  ///   - scored: the positions of every window whose final states are wanted.
  ///   - resuming: states that an interrupted run of the same windows came to.
  ///   - progress: hears of every product, and of every layer; its steps are layers.
  ///   - snapshot: called after every layer but the last with the states to resume from.
  /// - Throws: ``ForwardError``, and what reading the model throws.
  public func run(
    windows: [[Int32]], scored: Range<Int>, observer: (any ForwardObserver)? = nil, resuming: HiddenStates? = nil,
    progress: any RunObserver = NoObserver(), snapshot: (HiddenStates) throws -> Void = { _ in }
  ) throws -> FinalStates {
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
    if states.layer < decoder.layerCount {
      context.stream.announce(decoder.layers[states.layer].attention.reads(context.blockLimit))
    }
    for index in states.layer..<decoder.layerCount {
      // An observer sees all tokens; without one, the last layer matters where it is scored.
      let isLast = index == decoder.layerCount - 1
      try run(index, &states, context, keeping: isLast && observer == nil ? scored : nil, isLast: isLast)
      if !isLast { try snapshot(states) }
      try meter.finish(layers: index + 1)
    }
    return try finish(states, scored: scored, observer: observer)
  }

  /// The embedded tokens of all windows: the states before layer 0.
  public func embed(_ windows: [[Int32]]) throws -> HiddenStates {
    try embed(windows, plan(windows: windows.count, length: windows.first?.count ?? 0))
  }

  /// - Parameters:
  ///   - source: may replace the embedding.
  ///   - windowsPerSlab: fewer than the plan has.
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
    // The buffers of weights are not in use yet: rows may take their place.
    let most = max(1, MemoryBudget.weightBlocks * plan.blockLimit / decoder.width)
    for start in stride(from: 0, to: tokens.count, by: most) {
      let part = tokens[start..<min(tokens.count, start + most)]
      let embedding = try EmbeddingRows(part, source: source ?? self.source, tensor: decoder.embedding)
      for slab in 0..<layout.slabs {
        try activations.update(slab) { rows in
          for (offset, window) in layout.windows(inSlab: slab).enumerated() {
            embedding.write(windows[window], into: rows.from(offset * length * decoder.width))
          }
        }
      }
    }
    return HiddenStates(layer: 0, activations: activations, plan: plan)
  }

  /// Room for the states of all windows, within the budget.
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

  /// Runs one layer. `source` may replace the model's weights (a probe); its tensors have the same names and shapes.
  public func layer(
    _ index: Int, _ states: inout HiddenStates, source: (any ModelSource)? = nil,
    observer: (any ForwardObserver)? = nil
  ) throws {
    let context = try makeContext(for: states, source: source ?? self.source, observer: observer)
    defer { context.stream.cancel() }
    context.stream.announce(decoder.layers[index].attention.reads(context.blockLimit))
    try run(index, &states, context, keeping: nil, isLast: true)
  }

  /// Normalises the states of the scored positions. `source` may replace the output norm and head.
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
      rotation: RotationTable(
        decoder.rope, factors: try ropeFactors(source), positions: layout.firstPosition + layout.length),
      plan: states.plan)
  }

  private func ropeFactors(_ source: any ModelSource) throws -> [Float]? {
    guard let tensor = decoder.ropeFactors else { return nil }
    var factors = [Float](repeating: 1, count: tensor.shape.count)
    var span = factors.mutableSpan
    try source.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &span)
    return factors
  }

  private func run(
    _ index: Int, _ states: inout HiddenStates, _ context: LayerContext, keeping: Range<Int>?, isLast: Bool
  ) throws {
    precondition(states.layer == index, "states are before layer \(states.layer), not \(index)")
    let layer = decoder.layers[index]
    context.stream.announce(layer.feedForward.reads(context.blockLimit))
    let next = isLast ? [] : decoder.layers[index + 1].attention.reads(context.blockLimit)
    if !layer.feedForward.readsAreOpen { context.stream.announce(next) }
    try layer.attention.run(&states.activations, context, keeping: keeping)
    context.following = next
    try layer.feedForward.run(&states.activations, context, keeping: nil)
    states.layer = index + 1
  }
}
