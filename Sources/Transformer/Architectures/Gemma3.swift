/// Gemma 3: layers with a sliding window, of which every sixth sees all positions and has a rotation of its own; norms
/// of the outputs of attention and feed-forward network.
extension DecoderArchitecture {
  static let gemma3 = DecoderArchitecture(name: "gemma3", honoured: GemmaLayers.honoured) { model in
    let base = try DecoderBase(model)
    let window = try model.slidingWindow
    let isSliding =
      window == nil
      ? Array(repeating: false, count: base.layers) : try model.slidingLayers(count: base.layers, period: 6)
    let heads = try model.uniformInt("attention.head_count")
    var attention: [GroupedAttention] = []
    for index in 0..<base.layers {
      var part = try GroupedAttention(model, layer: index, width: base.width, norms: .perHead)
      part.postNorm = try model.tensor("blk.\(index).post_attention_norm.weight", [base.width])
      if isSliding[index] {
        part.slidingWindow = window
        part.rotation = 1
      }
      // The model with 62 layers has scores for heads of width / heads elements, and heads of another length.
      if base.layers == 62 { part.scale = 1 / Float(base.width / heads).squareRoot() }
      attention.append(part)
    }
    let full = try Rope(model, style: .halves, dimensions: attention[0].keyLength)
    let sliding = Rope(
      style: .halves, dimensions: full.dimensions, base: try model.optionalDouble("rope.freq_base_swa") ?? 10000)
    return try base.decoder(
      model, rotations: [LayerRotation(rope: full), LayerRotation(rope: sliding)],
      embeddingScale: Float(base.width).squareRoot()
    ) { index in
      DecoderLayer(
        attention: attention[index],
        feedForward: try DenseFeedForward(gemma: model, layer: index, width: base.width, postNorm: "post_ffw_norm"))
    }
  }
}

/// The parts that Gemma's models share.
enum GemmaLayers {
  /// Keys that other architectures must not have.
  static let honoured: Set<String> = ["final_logit_softcapping", "hidden_activation"]
}

extension ModelReader {
  /// Whether each layer has a sliding window: by a list, or all but the last of every `period` layers.
  func slidingLayers(count: Int, period: Int) throws(ForwardError) -> [Bool] {
    let name = "attention.sliding_window_pattern"
    if case .array? = source.metadata[key(name)] { return try optionalBools(name, count: count) ?? [] }
    let period = try optionalInt(name) ?? period
    return (0..<count).map { period == 0 || $0 % period < period - 1 }
  }
}

extension DenseFeedForward {
  /// A network with the tanh form of GELU, and a norm of its output.
  init(gemma model: ModelReader, layer index: Int, width: Int, length: Int? = nil, postNorm: String?) throws {
    let prefix = "blk.\(index)."
    let length = try length ?? model.uniformInt("feed_forward_length")
    self.init(
      norm: try model.tensor(prefix + "ffn_norm.weight", [width]),
      unit: GatedUnit(
        gate: try model.linear(prefix + "ffn_gate", width, length),
        up: try model.linear(prefix + "ffn_up", width, length),
        down: try model.linear(prefix + "ffn_down", length, width), function: .geluTanh),
      postNorm: try postNorm.map { try model.tensor(prefix + $0 + ".weight", [width]) })
  }
}
