import GGUF
import Synchronization
import Tensors

/// Many gated units of which every token uses a few; expert after expert over the tokens that were routed to it.
struct ExpertFeedForward: LayerPart {
  let norm: TensorInfo
  let router: Router
  /// Stacks: [width, inner, experts], [width, inner, experts], [inner, width, experts].
  let gates: TensorInfo
  let ups: TensorInfo
  let downs: TensorInfo
  /// The expert that every token uses.
  let shared: GatedUnit?

  var matrices: [TensorInfo] { [router.weight] + (shared?.matrices ?? []) + [gates, ups, downs] }
  /// The normalised states and the lists of uses stay resident while the experts run; each has inputs, a middle and
  /// outputs of its own.
  var columnsPerToken: Int {
    let own = 2 * norm.shape.columns + gates.shape.rowsPerMatrix
    return norm.shape.columns + 2 * router.used + max(shared?.gate.outputs ?? 0, own)
  }
  var readsAreOpen: Bool { true }
  func weightsPerToken(allExperts: Bool) -> Double {
    let own = [gates, ups, downs].reduce(0.0) { $0 + Double($1.shape.count) }
    let common = ([router.weight] + (shared?.matrices ?? [])).reduce(0.0) { $0 + Double($1.shape.count) }
    return common + own * (allExperts ? 1 : Double(router.used) / Double(router.experts))
  }

  /// One token's use of an expert. Eight bytes, since there are as many as tokens times experts used.
  private struct Use {
    private let number: Int32
    let weight: Float
    var token: Int { Int(number) }

    init(token: Int, weight: Float) {
      number = Int32(token)
      self.weight = weight
    }
  }

  private func unit(_ expert: Int) -> GatedUnit {
    let matrix = ObservedMatrix.expert(expert, of: router.experts)
    return GatedUnit(
      gate: Linear(weight: gates, matrix: matrix), up: Linear(weight: ups, matrix: matrix),
      down: Linear(weight: downs, matrix: matrix))
  }

  private func routerReads(_ limit: Int) -> [WeightRequest] {
    Linear(weight: router.weight).reads(limit)
  }

  func reads(_ limit: Int) -> [WeightRequest] { routerReads(limit) + (shared?.reads(limit) ?? []) }

  func run(_ hidden: inout Activations, _ context: LayerContext, keeping: Range<Int>?) throws {
    let layout = hidden.layout
    var inputs = Activations(layout, columns: hidden.columns, storage: context.storage)
    let weight = try context.vector(norm)
    for slab in 0..<layout.slabs {
      let h = try hidden.read(slab)
      try inputs.update(slab) {
        try normalize(
          h.floats, rows: layout.tokens(inSlab: slab), columns: hidden.columns, weight: weight.floats,
          epsilon: context.epsilon, into: $0)
      }
    }
    var uses = try route(inputs, context)
    if context.observer?.wantsAllExperts == true { uses = uses.map { Self.all($0, tokens: layout.tokens) } }
    let active = uses.indices.filter { !uses[$0].isEmpty }
    for expert in active { context.stream.announce(unit(expert).reads(context.blockLimit)) }
    context.stream.announce(context.following)
    if let shared {
      let inner = try shared.expand(layout, context) { try inputs.read($0) }
      try context.addProduct(shared.down, to: &hidden) { try inner.read($0) }
    }
    var rest = active[...]
    while !rest.isEmpty {
      // As many experts as their gathered inputs leave room for.
      var count = 1
      var gathered = uses[rest.first!].count * hidden.columns
      while count < rest.count {
        let more = uses[rest[rest.startIndex + count]].count * hidden.columns
        guard gathered + more <= context.gatherLimit else { break }
        gathered += more
        count += 1
      }
      try run(Array(rest.prefix(count)), uses, inputs, &hidden, context)
      rest = rest.dropFirst(count)
    }
  }

  /// Every token, those that were not routed here with weight 0: they are observed, and add nothing.
  private static func all(_ uses: [Use], tokens: Int) -> [Use] {
    var weights = [Float](repeating: 0, count: tokens)
    for use in uses { weights[use.token] = use.weight }
    return weights.enumerated().map { Use(token: $0.offset, weight: $0.element) }
  }

  /// The uses of every expert, in the order of tokens.
  private func route(_ inputs: Activations, _ context: LayerContext) throws -> [[Use]] {
    let bias = try router.bias.map { try context.vector($0).floats.withSpan { span in span.indices.map { span[$0] } } }
    let layout = inputs.layout
    var logits = Activations(layout, columns: router.experts, storage: context.storage)
    for request in routerReads(context.blockLimit) {
      let block = try context.stream.take(request)
      let rows = request.pieces[0].rows
      for slab in 0..<layout.slabs {
        let x = try inputs.read(slab)
        if rows.lowerBound == 0 { try context.observe([router.weight], x.floats, columns: inputs.columns) }
        try logits.fill(slab, columns: rows) { y, stride in
          try context.product(
            x.floats, tokens: layout.tokens(inSlab: slab), by: block.matrix(0), into: y, yStride: stride,
            tensor: router.weight.name)
        }
      }
    }
    var uses = [[Use]](repeating: [], count: router.experts)
    var first = 0
    for slab in 0..<layout.slabs {
      let rows = try logits.read(slab)
      let tokens = layout.tokens(inSlab: slab)
      let choices = Mutex([[Router.Choice]](repeating: [], count: tokens))
      try parallelRanges(tokens, grain: 256) { _, range in
        let chosen = range.map { token in
          rows.floats.slice(token * router.experts, router.experts).withSpan { router.choose($0, bias: bias) }
        }
        choices.withLock { $0.replaceSubrange(range, with: chosen) }
      }
      for (token, chosen) in choices.withLock({ $0 }).enumerated() {
        for choice in chosen { uses[choice.expert].append(Use(token: first + token, weight: choice.weight)) }
      }
      first += tokens
      logits.drop(slab)
    }
    return uses
  }

  /// Runs a group of experts: gathers their inputs in one pass over the tokens, and adds their outputs in another.
  private func run(
    _ experts: [Int], _ uses: [[Use]], _ inputs: Activations, _ hidden: inout Activations, _ context: LayerContext
  ) throws {
    let width = hidden.columns
    var gathered = experts.map { expert in
      Activations(.list(uses[expert].count, like: inputs.layout), columns: width, storage: context.storage)
    }
    for (index, expert) in experts.enumerated() {
      try Self.visit(uses[expert], gathered[index].layout, inputs.layout) { chunk, offset, slab, start, part in
        let x = try inputs.read(slab)
        try gathered[index].update(chunk) { out in
          for (row, use) in part.enumerated() {
            copyRows(
              from: x.floats.from((use.token - start) * width), stride: width, to: out.from((offset + row) * width),
              stride: width, rows: 1, columns: width)
          }
        }
      }
    }
    var outputs: [Activations] = []
    for (index, expert) in experts.enumerated() {
      let unit = unit(expert)
      let own = gathered[index]
      gathered[index] = Activations(.list(0, like: inputs.layout), columns: width, storage: context.storage)
      var output = Activations(own.layout, columns: width, storage: context.storage)
      do {
        let inner = try unit.expand(own.layout, context) { try own.read($0) }
        for chunk in 0..<own.layout.slabs {
          try output.update(chunk) { $0.fill(with: 0) }
        }
        try context.addProduct(unit.down, to: &output) { try inner.read($0) }
      } catch ForwardError.nonFinite(let tensor, window: nil, position: let place?) {
        let token = uses[expert][place].token
        throw ForwardError.nonFinite(
          tensor: tensor, window: token / inputs.layout.length,
          position: inputs.layout.firstPosition + token % inputs.layout.length)
      }
      outputs.append(output)
    }
    for (index, expert) in experts.enumerated() {
      try Self.visit(uses[expert], outputs[index].layout, hidden.layout) { chunk, offset, slab, start, part in
        let out = try outputs[index].read(chunk)
        try hidden.update(slab) { h in
          try addRows(
            from: out.floats.from(offset * width), to: h, columns: width, count: part.count,
            target: { part[part.startIndex + $0].token - start }, weight: { part[part.startIndex + $0].weight })
        }
      }
    }
  }

  /// Walks through the runs of a list that lie in one chunk of the list and in one slab of the tokens.
  private static func visit(
    _ uses: [Use], _ list: WindowLayout, _ tokens: WindowLayout,
    _ body: (_ chunk: Int, _ offset: Int, _ slab: Int, _ start: Int, _ part: ArraySlice<Use>) throws -> Void
  ) throws {
    let slabTokens = tokens.windowsPerSlab * tokens.length
    var index = 0
    while index < uses.count {
      let chunk = index / list.windowsPerSlab
      let slab = uses[index].token / slabTokens
      var end = index + 1
      while end < uses.count, end / list.windowsPerSlab == chunk, uses[end].token / slabTokens == slab { end += 1 }
      try body(chunk, index - chunk * list.windowsPerSlab, slab, slab * slabTokens, uses[index..<end])
      index = end
    }
  }
}

extension WindowLayout {
  /// Gathered tokens, in slabs as large as those they come from.
  static func list(_ count: Int, like other: WindowLayout) -> WindowLayout {
    WindowLayout(windows: count, length: 1, firstPosition: 0, windowsPerSlab: other.windowsPerSlab * other.length)
  }
}
