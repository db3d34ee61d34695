import GGUF

extension [Linear] {
  /// The tensors of the matrices, each once: the parts of a fused tensor share it.
  var tensors: [TensorInfo] {
    reduce(into: []) { tensors, linear in
      if !tensors.contains(linear.weight) { tensors.append(linear.weight) }
    }
  }

  /// Requests that cover all matrices, one after the other.
  func reads(_ limit: Int) -> [WeightRequest] {
    WeightRequest.covering(map(\.piece), limit: limit, together: false)
  }
}

extension LayerContext {
  /// Normalises the hidden states, and calls `body` for every slab and all rows of the matrices that have them as
  /// inputs.
  ///
  /// - Parameters:
  ///   - inputs: the matrices, in the order of their reads.
  ///   - norm: the weights of RMSNorm; nil to take the states as they are.
  ///   - body: receives the normalised states [tokens, columns], the outputs that are to be computed, and their rows.
  func project(
    _ hidden: Activations, by inputs: [Linear], norm: TensorInfo?,
    _ body: (_ linear: Linear, _ slab: Int, _ x: FloatView, _ outputs: Range<Int>, _ weights: WeightMatrix) throws
      -> Void
  ) throws {
    let normalized = try normalizer(norm, hidden)
    for (index, request) in inputs.reads(weightLimit).enumerated() {
      let loaded = try stream.take(request)
      for slab in 0..<hidden.layout.slabs {
        let tokens = hidden.layout.tokens(inSlab: slab)
        let x = try normalized(slab)
        if index == 0 {
          try observe(inputs.tensors, x.floats.slice(0, tokens * hidden.columns), columns: hidden.columns)
        }
        for (index, piece) in request.pieces.enumerated() {
          guard let linear = inputs.first(where: { $0.covers(piece) }) else {
            preconditionFailure("\(piece.tensor.name) is not an input")
          }
          try body(linear, slab, x.floats, linear.outputs(of: piece.rows), loaded.matrix(index))
        }
      }
    }
  }
}
