import GGUF
import Synchronization
import Tensors

/// A mixture of experts: every token uses a few of many gated units. An expert runs over all tokens that are routed to
/// it.
struct ExpertFeedForward: LayerPart {
  let norm: TensorInfo
  let router: Router
  /// [width, expert length, experts]; or [width, 2 x expert length, experts] with the rows of gate and up, and then
  /// ``ups`` is the same tensor.
  let gates: TensorInfo
  /// [width, expert length, experts]
  let ups: TensorInfo
  /// [expert length, width, experts]
  let downs: TensorInfo
  /// The biases of the experts' matrices, [outputs, experts]; nil without biases.
  var gateBiases: TensorInfo?
  var upBiases: TensorInfo?
  var downBiases: TensorInfo?
  /// The expert of all tokens.
  let shared: GatedUnit?
  /// The factor of each expert's output [experts]; nil without factors.
  var outputScales: TensorInfo?
  var function = GateFunction.silu
  /// [width]: the sigmoid of its product with a token is the weight of the shared expert; nil for a weight of 1.
  var sharedGate: TensorInfo?

  private var expertMatrices: [TensorInfo] { gates == ups ? [gates, downs] : [gates, ups, downs] }
  var matrices: [TensorInfo] {
    [router.weight] + (sharedGate.map { [$0] } ?? []) + (shared?.matrices ?? []) + expertMatrices
  }
  /// The normalised states and the lists of uses stay in memory while the experts run. An expert has inputs, expanded
  /// states and outputs.
  var columnsPerToken: Int {
    let expert = 2 * norm.shape.columns + downs.shape.columns
    let common = (shared?.gate.outputs ?? 0) + (sharedGate == nil ? 0 : norm.shape.columns)
    return (router.inputScale == nil ? 1 : 2) * norm.shape.columns + 2 * router.used
      + max(common, expert)
  }
  var readsDependOnRouting: Bool { true }
  func weightsPerToken(allExperts: Bool) -> Double {
    let experts = expertMatrices.reduce(0.0) { $0 + Double($1.shape.count) }
    let common = ([router.weight] + (shared?.matrices ?? [])).reduce(0.0) { $0 + Double($1.shape.count) }
    return common + experts * (allExperts ? 1 : Double(router.used) / Double(router.experts))
  }

  /// A token's use of an expert. It has eight bytes, because there is one per token and used expert.
  struct Use {
    private let tokenIndex: Int32
    var weight: Float
    var token: Int { Int(tokenIndex) }

    init(token: Int, weight: Float) {
      tokenIndex = Int32(token)
      self.weight = weight
    }
  }

  private func unit(_ expert: Int) -> GatedUnit {
    let matrix = ObservedMatrix.expert(expert, of: router.experts)
    let length = downs.shape.columns
    let isFused = gates == ups
    return GatedUnit(
      gate: Linear(weight: gates, bias: gateBiases, matrix: matrix, part: isFused ? 0..<length : nil),
      up: Linear(weight: ups, bias: upBiases, matrix: matrix, part: isFused ? length..<2 * length : nil),
      down: Linear(weight: downs, bias: downBiases, matrix: matrix), function: function)
  }

  private func routerReads(_ limit: Int) -> [WeightRequest] {
    Linear(weight: router.weight).reads(limit)
  }

  func reads(_ limit: Int) -> [WeightRequest] { routerReads(limit) + (shared?.reads(limit) ?? []) }

  func run(_ hidden: inout Activations, _ context: LayerContext, keeping: Range<Int>?) throws {
    let (inputs, uses) = try prepare(hidden, context)
    try addOutputs(inputs, uses, to: &hidden, context)
  }

  /// The normalised states, and the uses of every expert.
  func prepare(_ hidden: Activations, _ context: LayerContext) throws -> (inputs: Activations, uses: [[Use]]) {
    let inputs = try normalized(hidden, by: try context.vector(norm), context)
    var uses: [[Use]]
    if let scale = router.inputScale {
      let weight = try context.vector(scale)
      try multiply(weight.floats, by: 1 / Float(hidden.columns).squareRoot(), count: hidden.columns)
      uses = try route(try normalized(hidden, by: weight, context), context)
    } else {
      uses = try route(inputs, context)
    }
    if let outputScales {
      let scales = try context.vector(outputScales).floats.withSpan { span in span.indices.map { span[$0] } }
      for expert in uses.indices {
        for index in uses[expert].indices { uses[expert][index].weight *= scales[expert] }
      }
    }
    if context.observer?.wantsAllExperts == true {
      uses = uses.map { Self.all($0, tokens: hidden.layout.tokens) }
    }
    return (inputs, uses)
  }

  private func normalized(
    _ hidden: Activations, by weight: FloatBuffer, _ context: LayerContext
  ) throws -> Activations {
    var result = Activations(hidden.layout, columns: hidden.columns, storage: context.storage)
    for slab in 0..<hidden.layout.slabs {
      let h = try hidden.read(slab)
      try result.update(slab) {
        try normalize(
          h.floats, rows: hidden.layout.tokens(inSlab: slab), columns: hidden.columns, weight: weight.floats,
          epsilon: context.epsilon, into: $0)
      }
    }
    return result
  }

  /// Adds the outputs of all experts.
  func addOutputs(
    _ inputs: Activations, _ uses: [[Use]], to hidden: inout Activations, _ context: LayerContext
  ) throws {
    let active = uses.indices.filter { !uses[$0].isEmpty }
    for expert in active { context.stream.announce(unit(expert).reads(context.weightLimit)) }
    context.stream.announce(context.following)
    if let shared { try run(shared, inputs, &hidden, context) }
    var remaining = active[...]
    while !remaining.isEmpty {
      // A group has as many experts as fit with their gathered inputs.
      var count = 1
      var gathered = uses[remaining.first!].count * hidden.columns
      while count < remaining.count {
        let more = uses[remaining[remaining.startIndex + count]].count * hidden.columns
        guard gathered + more <= context.gatherLimit else { break }
        gathered += more
        count += 1
      }
      try run(Array(remaining.prefix(count)), uses, inputs, &hidden, context)
      remaining = remaining.dropFirst(count)
    }
  }

  /// Adds the output of the shared expert, times its gate if it has one.
  private func run(
    _ shared: GatedUnit, _ inputs: Activations, _ hidden: inout Activations, _ context: LayerContext
  ) throws {
    let expanded = try shared.expand(inputs.layout, context) { try inputs.read($0) }
    guard let sharedGate else { return try context.addProduct(shared.down, to: &hidden) { try expanded.read($0) } }
    let gate = try context.vector(sharedGate)
    let width = hidden.columns
    var output = Activations(inputs.layout, columns: hidden.columns, storage: context.storage)
    for slab in 0..<inputs.layout.slabs { try output.update(slab) { $0.fill(with: 0) } }
    try context.addProduct(shared.down, to: &output) { try expanded.read($0) }
    for slab in 0..<inputs.layout.slabs {
      let x = try inputs.read(slab)
      let tokens = inputs.layout.tokens(inSlab: slab)
      try context.observe([sharedGate], x.floats.slice(0, tokens * inputs.columns), columns: inputs.columns)
      let weights = sigmoids(x.floats, rows: tokens, by: gate.floats)
      let out = try output.read(slab)
      try hidden.update(slab) {
        try addRows(
          from: out.floats, to: $0, columns: width, count: tokens, target: { $0 }, weight: { weights[$0] })
      }
      output.drop(slab)
    }
  }

  /// A use by every token. Tokens that are not routed to the expert have weight 0: they are observed, but add nothing.
  private static func all(_ uses: [Use], tokens: Int) -> [Use] {
    var weights = [Float](repeating: 0, count: tokens)
    for use in uses { weights[use.token] = use.weight }
    return weights.enumerated().map { Use(token: $0.offset, weight: $0.element) }
  }

  /// The uses of every expert, in the order of tokens.
  private func route(_ inputs: Activations, _ context: LayerContext) throws -> [[Use]] {
    let bias = try router.bias.map { try context.vector($0).floats.withSpan { span in span.indices.map { span[$0] } } }
    let logitBias = try router.logitBias.map(context.vector)
    let layout = inputs.layout
    var logits = Activations(layout, columns: router.experts, storage: context.storage)
    for request in routerReads(context.weightLimit) {
      let loaded = try context.stream.take(request)
      let rows = request.pieces[0].rows
      for slab in 0..<layout.slabs {
        let x = try inputs.read(slab)
        if rows.lowerBound == 0 { try context.observe([router.weight], x.floats, columns: inputs.columns) }
        try logits.fill(slab, columns: rows) { y, stride in
          try context.product(
            x.floats, tokens: layout.tokens(inSlab: slab), by: loaded.matrix(0), into: y, yStride: stride,
            tensor: router.weight.name)
          if let logitBias {
            try add(
              logitBias.floats.from(rows.lowerBound), to: y, rows: layout.tokens(inSlab: slab), columns: rows.count,
              stride: stride)
          }
        }
      }
    }
    var uses = [[Use]](repeating: [], count: router.experts)
    var first = 0
    for slab in 0..<layout.slabs {
      let rows = try logits.read(slab)
      let tokens = layout.tokens(inSlab: slab)
      let selections = Mutex([[Router.ExpertWeight]](repeating: [], count: tokens))
      try parallelRanges(tokens, grain: 256) { _, range in
        let selected = range.map { token in
          rows.floats.slice(token * router.experts, router.experts).withSpan { router.select($0, bias: bias) }
        }
        selections.withLock { $0.replaceSubrange(range, with: selected) }
      }
      for (token, selected) in selections.withLock({ $0 }).enumerated() {
        for selection in selected { uses[selection.expert].append(Use(token: first + token, weight: selection.weight)) }
      }
      first += tokens
      logits.drop(slab)
    }
    return uses
  }

  /// Runs a group of experts: gathers their inputs in a first pass over the slabs, and adds their outputs in a second.
  private func run(
    _ experts: [Int], _ uses: [[Use]], _ inputs: Activations, _ hidden: inout Activations, _ context: LayerContext
  ) throws {
    let width = hidden.columns
    var gathered = experts.map { expert in
      Activations(.list(uses[expert].count, like: inputs.layout), columns: width, storage: context.storage)
    }
    for (index, expert) in experts.enumerated() {
      try Self.visit(uses[expert], gathered[index].layout, inputs.layout) { listSlab, offset, slab, start, uses in
        let x = try inputs.read(slab)
        try gathered[index].update(listSlab) { out in
          for (row, use) in uses.enumerated() {
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
      let x = gathered[index]
      gathered[index] = Activations(.list(0, like: inputs.layout), columns: width, storage: context.storage)
      var output = Activations(x.layout, columns: width, storage: context.storage)
      do {
        let expanded = try unit.expand(x.layout, context) { try x.read($0) }
        for slab in 0..<x.layout.slabs {
          try output.update(slab) { $0.fill(with: 0) }
        }
        try context.addProduct(unit.down, to: &output) { try expanded.read($0) }
      } catch ForwardError.nonFinite(let tensor, window: nil, position: let row?) {
        let token = uses[expert][row].token
        throw ForwardError.nonFinite(
          tensor: tensor, window: token / inputs.layout.length,
          position: inputs.layout.firstPosition + token % inputs.layout.length)
      }
      outputs.append(output)
    }
    for (index, expert) in experts.enumerated() {
      try Self.visit(uses[expert], outputs[index].layout, hidden.layout) { listSlab, offset, slab, start, uses in
        let out = try outputs[index].read(listSlab)
        try hidden.update(slab) { h in
          try addRows(
            from: out.floats.from(offset * width), to: h, columns: width, count: uses.count,
            target: { uses[uses.startIndex + $0].token - start }, weight: { uses[uses.startIndex + $0].weight })
        }
      }
    }
  }

  /// Calls `body` for every maximal range of a list whose uses are in one slab of the list and in one slab of the
  /// tokens.
  ///
  /// - Parameter body: receives the list's slab, the index of the first use in it, the tokens' slab, its first token,
  ///   and
  ///   the uses.
  private static func visit(
    _ uses: [Use], _ list: WindowLayout, _ tokens: WindowLayout,
    _ body: (_ listSlab: Int, _ offset: Int, _ slab: Int, _ start: Int, _ uses: ArraySlice<Use>) throws -> Void
  ) throws {
    let slabTokens = tokens.windowsPerSlab * tokens.length
    var index = 0
    while index < uses.count {
      let listSlab = index / list.windowsPerSlab
      let slab = uses[index].token / slabTokens
      var end = index + 1
      while end < uses.count, end / list.windowsPerSlab == listSlab, uses[end].token / slabTokens == slab { end += 1 }
      try body(listSlab, index - listSlab * list.windowsPerSlab, slab, slab * slabTokens, uses[index..<end])
      index = end
    }
  }
}

extension WindowLayout {
  /// A list of gathered tokens, in slabs of as many tokens as `other` has.
  static func list(_ count: Int, like other: WindowLayout) -> WindowLayout {
    WindowLayout(windows: count, length: 1, firstPosition: 0, windowsPerSlab: other.windowsPerSlab * other.length)
  }
}
