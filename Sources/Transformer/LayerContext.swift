import GGUF
import Tensors

/// What the parts of a layer need while they run.
final class LayerContext {
  let source: any ModelSource
  let engine: any ProductEngine
  let stream: WeightStream
  let observer: (any ForwardObserver)?
  let storage: ActivationStorage
  let rotation: RotationTable
  let epsilon: Float
  /// Floats in a block of weights at most.
  let blockLimit: Int
  /// Floats of hidden states that are gathered for a group of experts.
  let gatherLimit: Int
  /// Blocks of the next layer: a part that finds out while it runs what it reads announces them after its own.
  var following: [WeightRequest] = []
  var meter: WorkMeter?

  init(
    _ decoder: Decoder, source: any ModelSource, engine: any ProductEngine, observer: (any ForwardObserver)?,
    storage: ActivationStorage,
    rotation: RotationTable, plan: ForwardPlan
  ) {
    self.source = source
    self.engine = engine
    self.observer = observer
    self.storage = storage
    self.rotation = rotation
    epsilon = decoder.epsilon
    blockLimit = plan.blockLimit
    gatherLimit = plan.gatherLimit
    stream = WeightStream(source: source, engine: engine)
  }

  /// A small tensor (norm or bias) as a whole.
  func vector(_ tensor: TensorInfo) throws -> FloatBuffer {
    let buffer = FloatBuffer(count: tensor.shape.count)
    try buffer.floats.withMutableSpan { try source.readRows(of: tensor, rows: 0..<tensor.shape.rows, into: &$0) }
    guard isFinite(buffer.floats, rows: 1, columns: buffer.count) else {
      throw ForwardError.nonFinite(tensor: tensor.name)
    }
    return buffer
  }

  /// The product of a part, counted as work that is done.
  func product(
    _ x: Floats, tokens: Int, by w: WeightMatrix, into y: Floats, yStride: Int, accumulate: Bool = false,
    tensor: String
  ) throws {
    try engine.multiply(
      x, tokens: tokens, by: w, into: y, yStride: yStride, accumulate: accumulate, tensor: tensor)
    try meter?.add(2 * Double(tokens) * Double(w.rows) * Double(w.columns))
  }

  /// Working memory for one slab.
  func scratch(_ count: Int) -> FloatBuffer { FloatBuffer(count: count, account: storage.account) }

  /// Tells the observer what goes into a product.
  func observe(_ tensors: [TensorInfo], _ inputs: Floats, columns: Int, matrix: ObservedMatrix = .whole) throws {
    guard let observer, inputs.count > 0 else { return }
    try inputs.withSpan {
      try observer.observe(tensors.map(\.name), inputs: $0, columns: columns, matrix: matrix)
    }
  }

  /// hidden [tokens, outputs] += x times the transpose of a matrix, block after block of its rows.
  ///
  /// `inputs` gives the rows of a slab; they are observed on the first block.
  func addProduct(
    _ linear: Linear, to hidden: inout Activations, inputs: (_ slab: Int) throws -> FloatBuffer
  ) throws {
    let bias = try linear.bias.map(vector)
    let layout = hidden.layout
    for request in linear.reads(blockLimit) {
      let block = try stream.take(request)
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
            x.floats, tokens: tokens, by: block.matrix(0), into: y.from(rows.lowerBound), yStride: linear.outputs,
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
