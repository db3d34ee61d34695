import GGUF
import Tensors

/// Inputs of every layer that are embedded from tokens: slice i of
/// (RMSNorm(P h / sqrt(width)) + scale e(token)) / sqrt(2), with the embedded hidden state h.
///
/// The table of e is the largest tensor of a model that has one. Only the rows of a text's tokens are read.
struct LayerInputs: Sendable {
  /// e [layers x length, vocabulary]
  let table: TensorInfo
  /// P [width, layers x length]
  let projection: TensorInfo
  /// The weights of RMSNorm over a slice [length].
  let norm: TensorInfo
  /// Elements of a layer's slice.
  let length: Int
  let layers: Int

  /// Elements for all layers.
  var columns: Int { layers * length }

  /// The slices of all layers for the tokens of all windows.
  ///
  /// - Parameters:
  ///   - tokens: the distinct tokens of the windows, in ascending order.
  ///   - hidden: the embedded hidden states.
  ///   - rowsAtOnce: the number of rows of the table in memory.
  func embed(
    _ windows: [[Int32]], _ tokens: [Int32], _ hidden: Activations, rowsAtOnce: Int, epsilon: Float,
    source: any ModelSource, engine: any ProductEngine
  ) throws -> [CarriedStates: Activations] {
    let layout = hidden.layout
    var slices = try (0..<layers).map { layer in
      try project(hidden, layer: layer, epsilon: epsilon, source: source, engine: engine)
    }
    for start in stride(from: 0, to: tokens.count, by: rowsAtOnce) {
      let rows = try EmbeddingRows(
        tokens[start..<min(tokens.count, start + rowsAtOnce)], source: source, tensor: table)
      for layer in 0..<layers {
        for slab in 0..<layout.slabs {
          try slices[layer].update(slab) { out in
            for (offset, window) in layout.windows(inSlab: slab).enumerated() {
              rows.average(
                windows[window], columns: layer * length..<(layer + 1) * length, scale: Float(length).squareRoot(),
                into: out.from(offset * layout.length * length))
            }
          }
        }
      }
    }
    return Dictionary(
      uniqueKeysWithValues: slices.enumerated().map { (CarriedStates.input(layer: $0.offset), $0.element) })
  }

  /// RMSNorm(P h / sqrt(width)) for the slice of a layer.
  private func project(
    _ hidden: Activations, layer: Int, epsilon: Float, source: any ModelSource, engine: any ProductEngine
  ) throws -> Activations {
    let (layout, width) = (hidden.layout, hidden.columns)
    let weights = FloatBuffer(count: WeightLayout.count(rows: length, columns: width))
    try source.read(
      projection, rows: layer * length..<(layer + 1) * length, layout: engine.layout, into: weights.floats)
    let matrix = WeightMatrix(weights.floats, rows: length, columns: width)
    let normWeight = FloatBuffer(count: length)
    try normWeight.floats.withMutableSpan { try source.readRows(of: norm, rows: 0..<1, into: &$0) }
    // Resident if the hidden states are, so that variants of a model can be joined.
    var slice = Activations(layout, columns: length, storage: hidden.storage, spills: hidden.isSpilled)
    for slab in 0..<layout.slabs {
      let tokens = layout.tokens(inSlab: slab)
      let h = try hidden.read(slab)
      try slice.update(slab) { y in
        try engine.multiply(
          h.floats, tokens: tokens, by: matrix, into: y, yStride: length, accumulate: false, tensor: projection.name)
        try multiply(y, by: 1 / Float(width).squareRoot(), count: tokens * length)
        try normalize(y, rows: tokens, columns: length, weight: normWeight.floats, epsilon: epsilon, into: y)
      }
    }
    return slice
  }
}

extension EmbeddingRows {
  /// Replaces each token's row y of `out` by (scale x + y) / sqrt(2), with some columns x of the token's row. Tokens
  /// without a row here are skipped.
  fileprivate func average(_ tokens: [Int32], columns: Range<Int>, scale: Float, into out: FloatView) {
    let half = Float(0.5).squareRoot()
    for (index, token) in tokens.enumerated() {
      guard let row = row(of: token) else { continue }
      mix(
        row.slice(columns.lowerBound, columns.count), factor: half * scale, into: out.from(index * columns.count),
        factor: half)
    }
  }
}
