import GGUF

extension DeltaNetConfig {
  /// A block of a GGUF, and the prefix of its stored tensors.
  struct Block {
    let index: Int
    let stored: String
    let isRecurrent: Bool

    var name: String { "blk.\(index)." }
  }

  /// The layers, and the blocks for multi-token prediction, which are like a layer with attention.
  var blocks: [Block] {
    isRecurrent.enumerated().map { Block(index: $0, stored: "model.layers.\($0).", isRecurrent: $1) }
      + (0..<predictionBlocks).map {
        Block(index: isRecurrent.count + $0, stored: "mtp.layers.\($0).", isRecurrent: false)
      }
  }

  /// Adds the tensors of all blocks.
  ///
  /// - Parameters:
  ///   - projections: adds the projections of a delta net's inputs.
  ///   - order: the order of stored value heads; nil for their own.
  ///   - feedForward: adds the feed-forward part of a block.
  func collectTensors(
    _ all: inout TensorCollector, valueHeads order: [Int]?,
    projections: (Block, inout TensorCollector) throws -> Void,
    feedForward: (Block, inout TensorCollector) throws -> Void
  ) throws {
    try decoder.embeddings(&all)
    for block in blocks {
      try norm(block.name + "attn_norm.weight", from: block.stored + "input_layernorm.weight", &all)
      if block.isRecurrent {
        try projections(block, &all)
        try deltaNet(block, order, &all)
      } else {
        try attention(block, &all)
      }
      try norm(block.name + "post_attention_norm.weight", from: block.stored + "post_attention_layernorm.weight", &all)
      try feedForward(block, &all)
      if block.index == isRecurrent.count { try prediction(block, &all) }
    }
    try decoder.head(&all)
  }

  /// Adds a norm over the hidden states, or over `count` elements.
  private func norm(_ name: String, from source: String, count: Int? = nil, _ all: inout TensorCollector) throws {
    try all.vector(name, from: source, count: count ?? decoder.width, transform: .plusOne)
  }

  /// Adds gated attention: rows of `attn_q` are a head's query, then its gate.
  private func attention(_ block: Block, _ all: inout TensorCollector) throws {
    let (to, from) = (block.name, block.stored + "self_attn.")
    let (size, width) = (decoder.headSize, decoder.width)
    for (letter, rows) in [
      ("q", 2 * decoder.queryWidth), ("k", decoder.keyHeads * size), ("v", decoder.keyHeads * size),
    ] {
      try all.matrix(to + "attn_\(letter).weight", from: from + "\(letter)_proj.weight", outputs: rows, inputs: width)
    }
    for letter in ["q", "k"] {
      try norm(to + "attn_\(letter)_norm.weight", from: from + "\(letter)_norm.weight", count: size, &all)
    }
    try all.matrix(
      to + "attn_output.weight", from: from + "o_proj.weight", outputs: width, inputs: decoder.queryWidth)
  }

  /// Adds a delta net without the projections of its inputs.
  private func deltaNet(_ block: Block, _ order: [Int]?, _ all: inout TensorCollector) throws {
    let (to, from) = (block.name, block.stored + "linear_attn.")
    let channels = 2 * keyWidth + valueWidth
    let shape = [channels, 1, convolution]
    try all.part(
      to + "ssm_conv1d.weight", [convolution, channels],
      order.map { .rows(from + "conv1d.weight", shape: shape, order: [0..<2 * keyWidth] + valueRows($0)) }
        ?? .whole(from + "conv1d.weight", shape: shape), isExact: true)
    let heads = order?.map { $0..<$0 + 1 }
    try all.vector(to + "ssm_dt.bias", from: from + "dt_bias", count: valueHeads, order: heads)
    try all.vector(
      to + "ssm_a", from: from + "A_log", count: valueHeads, order: heads, transform: .negativeExponential)
    try all.vector(to + "ssm_norm.weight", from: from + "norm.weight", count: stateSize)
    let output = [decoder.width, valueWidth]
    try all.part(
      to + "ssm_out.weight", [valueWidth, decoder.width],
      order.map {
        .columns(from + "out_proj.weight", shape: output, order: $0.map { $0 * stateSize..<($0 + 1) * stateSize })
      } ?? .whole(from + "out_proj.weight", shape: output))
  }

  /// The rows of value heads, behind those of queries and keys.
  func valueRows(_ order: [Int]) -> [Range<Int>] {
    order.map { 2 * keyWidth + $0 * stateSize..<2 * keyWidth + ($0 + 1) * stateSize }
  }

  /// Adds the tensors by which a block for multi-token prediction differs from a layer.
  private func prediction(_ block: Block, _ all: inout TensorCollector) throws {
    let (to, width) = (block.name + "nextn.", decoder.width)
    try all.matrix(to + "eh_proj.weight", from: "mtp.fc.weight", outputs: width, inputs: 2 * width)
    try norm(to + "enorm.weight", from: "mtp.pre_fc_norm_embedding.weight", &all)
    try norm(to + "hnorm.weight", from: "mtp.pre_fc_norm_hidden.weight", &all)
    try norm(to + "shared_head_norm.weight", from: "mtp.norm.weight", &all)
  }

  /// Adds gate, up and down of a dense block.
  func denseFeedForward(_ block: Block, _ all: inout TensorCollector) throws {
    try unit(block, from: "mlp.", to: "", width: decoder.feedForward, &all)
  }

  func unit(
    _ block: Block, from source: String, to suffix: String, width inner: Int, _ all: inout TensorCollector
  ) throws {
    let width = decoder.width
    for (name, stored, outputs, inputs) in [
      ("ffn_gate", "gate_proj", inner, width), ("ffn_up", "up_proj", inner, width),
      ("ffn_down", "down_proj", width, inner),
    ] {
      try all.matrix(
        block.name + name + suffix + ".weight", from: block.stored + source + stored + ".weight", outputs: outputs,
        inputs: inputs)
    }
  }
}
