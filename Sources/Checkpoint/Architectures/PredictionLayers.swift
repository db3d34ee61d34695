import GGUF

/// Blocks for multi-token prediction (NextN) that are stored as layers behind the last, with tensors of their own.
struct PredictionLayers: Sendable {
  let first: Int
  let count: Int
  /// The stored name of the norm before the head.
  var headNorm = "shared_head.norm.weight"
  private let isDeclared: Bool
  /// Whether published blocks have embeddings and a head of their own.
  private let hasEmbeddings: Bool

  init(_ config: Config, layers: Int) throws {
    first = layers
    hasEmbeddings = config["model_type"]?.string?.hasPrefix("glm4_moe") == true
    let declared = try config.count("num_nextn_predict_layers", default: 0)
    count = config.prediction.count(declared: declared)
    isDeclared = config["num_nextn_predict_layers"] != nil && config.prediction != .dropped
  }

  /// The layers and the blocks behind them.
  var all: Range<Int> { 0..<first + count }

  /// - Parameter writesZero: whether the number is written if it is 0.
  func keys(_ name: String, writesZero: Bool = true) -> Metadata {
    var metadata: Metadata = ["\(name).block_count": .uint32(UInt32(first + count))]
    if count > 0 || writesZero && isDeclared {
      metadata["\(name).nextn_predict_layers"] = .uint32(UInt32(count))
    }
    return metadata
  }

  /// Adds the tensors by which a block differs from a layer.
  func collectTensors(layer: Int, _ decoder: DecoderConfig, _ collector: inout TensorCollector) throws {
    guard layer >= first else { return }
    let (to, from, width) = ("blk.\(layer).nextn.", "model.layers.\(layer).", decoder.width)
    try collector.matrix(to + "eh_proj.weight", from: from + "eh_proj.weight", outputs: width, inputs: 2 * width)
    for (name, source) in [("enorm", "enorm.weight"), ("hnorm", "hnorm.weight"), ("shared_head_norm", headNorm)] {
      try collector.vector(to + name + ".weight", from: from + source, count: width)
    }
    // Without them the block uses the model's.
    for (name, source) in [("embed_tokens", "embed_tokens"), ("shared_head_head", "shared_head.head")]
    where collector.prefers(from + source + ".weight", expected: hasEmbeddings) {
      try collector.matrix(
        to + name + ".weight", from: from + source + ".weight", outputs: decoder.vocabulary, inputs: width)
    }
  }

  /// True for the tensors of blocks that are left out.
  func leavesOut(_ name: String) -> Bool {
    guard count == 0, let layer = decoderLayer(of: name) else { return false }
    return layer >= first
  }
}

/// The layer of a stored tensor `model.layers.N.*`.
func decoderLayer(of name: String) -> Int? {
  name.hasPrefix("model.layers.") ? Int(name.dropFirst(13).prefix { $0 != "." }) : nil
}
