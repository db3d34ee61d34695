import GGUF
import Tensors

/// The resources that the parts of a layer use while they run.
final class LayerContext {
  let source: any ModelSource
  let engine: any ProductEngine
  let stream: WeightStream
  let observer: (any ForwardObserver)?
  let storage: ActivationStorage
  /// The tables of ``Decoder/rotations``.
  let rotations: [RotationTable]
  let epsilon: Float
  /// The maximum number of floats in a request.
  let weightLimit: Int
  /// The maximum number of floats of hidden states that are gathered for a group of experts.
  let gatherLimit: Int
  /// The first requests of the next layer. A part whose reads depend on routing announces them after its own.
  var following: [WeightRequest] = []
  /// States that earlier layers keep for later ones.
  var carried: [CarriedStates: Activations] = [:]
  var meter: WorkMeter?

  init(
    _ decoder: Decoder, source: any ModelSource, engine: any ProductEngine, observer: (any ForwardObserver)?,
    storage: ActivationStorage,
    rotations: [RotationTable], plan: ForwardPlan
  ) {
    self.source = source
    self.engine = engine
    self.observer = observer
    self.storage = storage
    self.rotations = rotations
    epsilon = decoder.epsilon
    weightLimit = plan.weightLimit
    gatherLimit = plan.gatherLimit
    stream = WeightStream(source: source, engine: engine)
  }

  /// Reads a norm or a bias.
  func vector(_ tensor: TensorInfo) throws -> FloatBuffer {
    let buffer = FloatBuffer(count: tensor.shape.count)
    try buffer.floats.withMutableSpan { try source.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &$0) }
    guard isFinite(buffer.floats, rows: 1, columns: buffer.count) else {
      throw ForwardError.nonFinite(tensor: tensor.name)
    }
    return buffer
  }

  /// Reads the bias of a matrix; nil if it has none. The biases of a stack's matrices are rows of one tensor.
  func bias(_ linear: Linear) throws -> FloatBuffer? {
    guard let tensor = linear.bias else { return nil }
    guard case .expert(let index, of: _) = linear.matrix else {
      let whole = try vector(tensor)
      guard let part = linear.part, whole.count > part.count else { return whole }
      let buffer = FloatBuffer(count: part.count)
      copyRows(
        from: whole.floats.from(part.lowerBound), stride: part.count, to: buffer.floats, stride: part.count, rows: 1,
        columns: part.count)
      return buffer
    }
    let buffer = FloatBuffer(count: tensor.shape.columns)
    try buffer.floats.withMutableSpan { try source.readRows(of: tensor, rows: index..<index + 1, into: &$0) }
    guard isFinite(buffer.floats, rows: 1, columns: buffer.count) else {
      throw ForwardError.nonFinite(tensor: tensor.name)
    }
    return buffer
  }

  /// Computes a product and reports its operations as progress.
  func product(
    _ x: FloatView, tokens: Int, by w: WeightMatrix, into y: FloatView, yStride: Int, accumulate: Bool = false,
    tensor: String
  ) throws {
    try engine.multiply(
      x, tokens: tokens, by: w, into: y, yStride: yStride, accumulate: accumulate, tensor: tensor)
    try meter?.add(2 * Double(tokens) * Double(w.rows) * Double(w.columns))
  }

  /// Working memory for one slab.
  func scratch(_ count: Int) -> FloatBuffer { FloatBuffer(count: count, account: storage.account) }

  /// Calls the observer with the inputs of a product.
  func observe(_ tensors: [TensorInfo], _ inputs: FloatView, columns: Int, matrix: ObservedMatrix = .whole) throws {
    guard let observer, inputs.count > 0 else { return }
    try inputs.withSpan {
      try observer.observe(tensors.map(\.name), inputs: $0, columns: columns, matrix: matrix)
    }
  }

  /// Adds x [tokens, inputs] times the transpose of a matrix, normalised by `norm`, to hidden [tokens, outputs].
  ///
  /// - Parameters:
  ///   - norm: the weights of RMSNorm over the products; nil to add them as they are.
  ///   - epsilon: the addend of the norm's mean square; nil for the model's.
  ///   - scale: the factor of the products.
  ///   - inputs: returns x for a slab. Called for every request of the matrix; observed at the first.
  func addProduct(
    _ linear: Linear, to hidden: inout Activations, norm: TensorInfo?, epsilon: Float? = nil, scale: Float = 1,
    inputs: (_ slab: Int) throws -> FloatBuffer
  ) throws {
    if norm == nil, scale == 1 { return try addProduct(linear, to: &hidden, inputs: inputs) }
    var products = try zeros(hidden.layout, columns: hidden.columns)
    try addProduct(linear, to: &products, inputs: inputs)
    if let norm {
      try addNormalized(&products, norm: norm, epsilon: epsilon, scale: scale, to: &hidden)
    } else {
      try addScaled(&products, by: scale, to: &hidden)
    }
  }

  /// Returns a closure for the inputs of a layer's matrices: the hidden states of a slab, normalised.
  ///
  /// - Parameter norm: the weights of RMSNorm; nil for the states as they are.
  func normalizer(_ norm: TensorInfo?, _ hidden: Activations) throws -> (_ slab: Int) throws -> FloatBuffer {
    guard let norm else { return { try hidden.read($0) } }
    let weight = try vector(norm)
    let x = scratch(hidden.layout.slabTokens * hidden.columns)
    return { slab in
      try normalize(
        try hidden.read(slab).floats, rows: hidden.layout.tokens(inSlab: slab), columns: hidden.columns,
        weight: weight.floats, epsilon: self.epsilon, into: x.floats)
      return x
    }
  }

  /// Zeros in storage for activations.
  func zeros(_ layout: WindowLayout, columns: Int) throws -> Activations {
    var result = Activations(layout, columns: columns, storage: storage)
    for slab in 0..<layout.slabs { try result.update(slab) { $0.fill(with: 0) } }
    return result
  }

  /// Adds x, normalised, to y, and frees x.
  func addNormalized(
    _ x: inout Activations, norm: TensorInfo, epsilon: Float? = nil, scale: Float = 1, to y: inout Activations
  ) throws {
    let weight = try vector(norm)
    let columns = x.columns
    for slab in 0..<x.layout.slabs {
      let tokens = x.layout.tokens(inSlab: slab)
      try x.update(slab) {
        try normalize(
          $0, rows: tokens, columns: columns, weight: weight.floats, epsilon: epsilon ?? self.epsilon, into: $0)
      }
    }
    try addScaled(&x, by: scale, to: &y)
  }

  /// Adds x, multiplied by a factor, to y, and frees x.
  private func addScaled(_ x: inout Activations, by scale: Float, to y: inout Activations) throws {
    let columns = x.columns
    for slab in 0..<x.layout.slabs {
      let tokens = x.layout.tokens(inSlab: slab)
      let rows = try x.read(slab)
      try y.update(slab) {
        try addRows(from: rows.floats, to: $0, columns: columns, count: tokens, target: { $0 }, weight: { _ in scale })
      }
      x.drop(slab)
    }
  }

  /// Adds x [tokens, inputs] times the transpose of a matrix to hidden [tokens, outputs].
  ///
  /// - Parameter inputs: returns x for a slab. Called for every request of the matrix; observed at the first.
  func addProduct(
    _ linear: Linear, to hidden: inout Activations, inputs: (_ slab: Int) throws -> FloatBuffer
  ) throws {
    let bias = try bias(linear)
    let layout = hidden.layout
    for request in linear.reads(weightLimit) {
      let loaded = try stream.take(request)
      let rows = linear.outputs(of: request.pieces[0].rows)
      for slab in 0..<layout.slabs {
        let x = try inputs(slab)
        let tokens = layout.tokens(inSlab: slab)
        if rows.lowerBound == 0 {
          try observe(
            [linear.weight], x.floats.slice(0, tokens * linear.inputs), columns: linear.inputs, matrix: linear.matrix)
        }
        try hidden.update(slab) { y in
          try product(
            x.floats, tokens: tokens, by: loaded.matrix(0), into: y.from(rows.lowerBound), yStride: linear.outputs,
            accumulate: true, tensor: linear.weight.name)
          if let bias {
            try add(
              bias.floats.from(rows.lowerBound), to: y.from(rows.lowerBound), rows: tokens, columns: rows.count,
              stride: linear.outputs)
          }
        }
      }
    }
  }
}
